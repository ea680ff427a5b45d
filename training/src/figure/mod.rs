//! The paper's figures.

mod inpaint;

pub use inpaint::inpaint;
