//! The only place with `unsafe`: system calls that no crate wraps, what a child does between fork
//! and exec, and the environment that this process was started with.
#![expect(unsafe_code, reason = "what lives here cannot be had from safe wrappers")]

use std::ffi::{CStr, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::sandbox::{holds_credentials, is_credential};

#[cfg(target_os = "linux")]
pub(crate) use linux::{close_others_at_exec, landlock_version, signal_all, spawn_confined};

/// Takes the variables that hold credentials out of the memory that `/proc/PID/environ` shows, and
/// keeps other processes of the user from reading this one's memory (elsewhere than on Linux, the
/// system does). The variables themselves stay. To be called before the first thread starts.
pub fn hide_credentials() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _kernel_refuses = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    let hidden: Vec<(OsString, OsString)> = std::env::vars_os()
        .filter(|(name, value)| is_credential(&name.to_string_lossy()) || holds_credentials(value))
        .collect();
    for (name, _) in &hidden {
        // SAFETY: this process has one thread, so that nobody else reads or writes the
        // environment, and the strings of the initial environment are writable memory.
        unsafe { wipe(name) };
    }
    for (name, value) in &hidden {
        // SAFETY: as above, one thread.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Overwrites the value of `name` where it stands.
///
/// # Safety
/// No other thread reads or writes the environment.
unsafe fn wipe(name: &OsStr) {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: `environ` is a NULL-terminated array of NUL-terminated strings.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            let value = text.iter().position(|byte| *byte == b'=');
            if let Some(equals) = value.filter(|at| &text[..*at] == name.as_bytes()) {
                let (start, length) = (equals + 1, text.len() - equals - 1);
                std::ptr::write_bytes((*entry).add(start), b'x', length);
            }
            entry = entry.add(1);
        }
    }
}

/// What levels A and B need.
#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    /// The version of Landlock's interface that the kernel has; 0 for none.
    pub(crate) fn landlock_version() -> u32 {
        const VERSION: libc::c_uint = 1;
        // SAFETY: with this flag the call takes no attributes and returns a number.
        let version = unsafe {
            libc::syscall(
                libc::SYS_landlock_create_ruleset,
                std::ptr::null::<libc::c_void>(),
                0usize,
                VERSION,
            )
        };
        u32::try_from(version).unwrap_or(0)
    }

    /// Starts `command` after `confine` has run in the child.
    ///
    /// The caller has one thread: no lock is held by another one at the fork, so that `confine` may
    /// allocate.
    pub(crate) fn spawn_confined(
        mut command: Command,
        confine: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Child> {
        // SAFETY: the launcher is single-threaded, see above.
        unsafe { command.pre_exec(confine) };
        command.spawn()
    }

    /// Marks every descriptor but the three standard ones to be closed at the next exec.
    pub(crate) fn close_others_at_exec() -> io::Result<()> {
        // SAFETY: it only sets a flag of descriptors.
        let done = unsafe {
            libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends `signal` to every process that this one may signal, itself and process 1 excepted.
    pub(crate) fn signal_all(signal: rustix::process::Signal) {
        // SAFETY: no memory is involved.
        unsafe { libc::kill(-1, signal.as_raw()) };
    }
}
