//! The player against programs of a few lines.
