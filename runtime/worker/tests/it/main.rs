//! The program `worker`, as a process.

#[cfg(test)]
mod kills;
#[cfg(test)]
mod notify;
