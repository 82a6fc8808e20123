//! The templates for AWS and Azure, and the manifests for Knative.
