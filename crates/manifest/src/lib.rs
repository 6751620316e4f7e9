//! Kubernetes manifests: YAML and JSON documents with their places in the file
