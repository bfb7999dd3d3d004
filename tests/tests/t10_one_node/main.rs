//! One node as a real process, through all its doors: what it does, refuses, and keeps through crashes, damage and a full
//! disk.

mod bad_input;
mod basics;
mod crash;
mod damage;
mod disk;
mod storm;
mod verified;
