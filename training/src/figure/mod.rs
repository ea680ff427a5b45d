//! The paper's figures.
