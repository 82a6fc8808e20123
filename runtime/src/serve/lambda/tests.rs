//! Events of every shape, in the form of AWS documentation.
