//! Label and field selectors, with the errors of the real server.

mod fields;
mod labels;

pub(crate) use fields::Fields;
pub(crate) use labels::Labels;
