//! Tests that cross crates.

#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod infra;
#[cfg(test)]
mod tidy;
