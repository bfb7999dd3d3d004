//! The `Twin` machine: one device's state, what it decides, and how a change is carried out.
