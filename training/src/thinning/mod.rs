//! The set F of classifier iterates that judges are drawn from (the paper, section 3).
