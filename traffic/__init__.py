"""Routes as data: the model, its rendering to Istio, its simulation. Needs neither Pulumi nor Kubernetes."""
