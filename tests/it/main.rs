//! The program as its users meet it: the real binary, the fake engine, a scripted clock.

mod cli;
mod faults;
mod interrupt;
mod support;
