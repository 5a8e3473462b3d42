//! The arrows of the house.
