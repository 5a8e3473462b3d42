//! Configuration: one file per room. The only place that reads the environment.
