//! The emulator as its users meet it: as a program.

#[cfg(test)]
mod control;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod process;
#[cfg(test)]
mod up;
