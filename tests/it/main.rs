//! Tests that cross crates.

#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod tidy;
