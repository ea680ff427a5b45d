//! Who runs beside whom. The tests of a file run at the same time where there are processors for it, and all of them
//! take time and memory of the same process.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// For tests that measure the process or its times: none that asks for [`alone`] or [`beside`] runs meanwhile.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE
        .write()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// For the others of a file that has such tests.
pub fn beside() -> RwLockReadGuard<'static, ()> {
    MACHINE
        .read()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
