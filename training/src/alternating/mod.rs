//! Algorithm 1: the alternating step.
