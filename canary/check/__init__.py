"""What is wrong with stacks, found without a cluster."""
