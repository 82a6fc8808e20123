//! What the tests of several roles share.

pub(crate) mod sink;
