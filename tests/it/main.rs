//! Tests that cross crates.

#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod tidy;
