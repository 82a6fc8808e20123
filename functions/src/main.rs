//! The program `functions`: every HTTP function on whatever host it finds itself.

fn main() {}
