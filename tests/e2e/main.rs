//! The program from outside: real repositories, real processes, real HTTP.

mod commands;
mod gates;
mod heal;
mod recovery;
mod repository;
mod run;
mod server;
