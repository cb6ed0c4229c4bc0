"""Routes as data: the model, its rendering to Istio, and its simulation. Needs neither Pulumi nor Kubernetes."""
