mod commands;
mod notices;
mod passes;
mod simulation;
mod world;
