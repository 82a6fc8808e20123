//! The emulator as its users meet it: as a program.

mod demo;
mod process;
mod up;
