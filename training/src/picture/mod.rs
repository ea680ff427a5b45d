//! Picture files → upright RGB → square network input.
