//! The system calls that a command may not make.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Compare,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

/// What may reach outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sockets {
    /// Of a network namespace of its own, or of the machine where the network is allowed: IP and
    /// local sockets. What is not seen cannot be connected to.
    All,
    /// IP only: local sockets would reach the machine's services.
    Internet,
    /// TCP only: what else there is, Landlock does not keep to a port.
    Tcp,
    /// Pairs only.
    None,
}

/// Calls that no build needs and that look into other processes, change the machine, or lead
/// around the other parts of the sandbox.
const REFUSED: &[i64] = &[
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_perf_event_open,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // The kernel and its clocks.
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    // Keys of the user and the session.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

/// Calls that only this processor family has.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[i64] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
    libc::SYS_uselib,
    libc::SYS_ustat,
    libc::SYS_sysfs,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[i64] = &[];

/// Calls that programs do without when the kernel does not have them: they hide from a filter
/// what they ask for.
const UNKNOWN: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Flags of `clone` that make namespaces.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// Types over the terminal: into it, and what a console has selected.
const TERMINAL: &[u64] = &[libc::TIOCSTI, libc::TIOCLINUX];

/// Calls that set a file's mode, and which argument it is. Of those that only do when they create
/// a file, also which argument holds the flags; the mode is not set otherwise.
#[cfg(target_arch = "x86_64")]
const MODES: &[(i64, u8, Option<u8>)] = &[
    (libc::SYS_chmod, 1, None),
    (libc::SYS_fchmod, 1, None),
    (libc::SYS_fchmodat, 2, None),
    (libc::SYS_fchmodat2, 2, None),
    (libc::SYS_mknod, 1, None),
    (libc::SYS_mknodat, 2, None),
    (libc::SYS_creat, 1, None),
    (libc::SYS_open, 2, Some(1)),
    (libc::SYS_openat, 3, Some(2)),
];
#[cfg(not(target_arch = "x86_64"))]
const MODES: &[(i64, u8, Option<u8>)] = &[
    (libc::SYS_fchmod, 1, None),
    (libc::SYS_fchmodat, 2, None),
    (libc::SYS_fchmodat2, 2, None),
    (libc::SYS_mknodat, 2, None),
    (libc::SYS_openat, 3, Some(2)),
];

/// Bits of the flags, any of which makes `open` create a file.
const CREATING: [i32; 2] = [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY];

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The filters, in the order in which they are applied.
pub(super) fn filters(sockets: Sockets) -> Result<Vec<BpfProgram>, seccompiler::Error> {
    let mut refused: Rules =
        REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    for flag in NAMESPACES {
        let flag = u64::from(flag.cast_unsigned());
        rule(&mut refused, libc::SYS_clone, &[(0, Length::Qword, Compare::MaskedEq(flag), flag)])?;
    }
    for request in TERMINAL {
        rule(&mut refused, libc::SYS_ioctl, &[(1, Length::Dword, Compare::Eq, *request)])?;
    }
    let bits = |argument: u8, bits: u64| (argument, Length::Dword, Compare::MaskedEq(bits), bits);
    for (call, mode, flags) in MODES {
        let set_user = bits(*mode, u64::from(libc::S_ISUID));
        match flags {
            None => rule(&mut refused, *call, &[set_user])?,
            Some(flags) => {
                for creating in CREATING {
                    let creating = bits(*flags, u64::from(creating.cast_unsigned()));
                    rule(&mut refused, *call, &[set_user.clone(), creating])?;
                }
            }
        }
    }
    // Another process's limits, which need no more than the same user.
    rule(&mut refused, libc::SYS_prlimit64, &[(0, Length::Dword, Compare::Ne, 0)])?;
    // Everything but the allowed families.
    let families: &[i32] = match sockets {
        Sockets::All => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        Sockets::Internet => &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        Sockets::Tcp => &[libc::AF_INET, libc::AF_INET6],
        Sockets::None => &[],
    };
    match families {
        [] => {
            refused.insert(libc::SYS_socket, Vec::new());
        }
        families => {
            let others: Vec<_> = families
                .iter()
                .map(|family| (0, Length::Dword, Compare::Ne, u64::from(family.cast_unsigned())))
                .collect();
            rule(&mut refused, libc::SYS_socket, &others)?;
            // Other protocols of netlink than routes configure the machine.
            let netlink = u64::from(libc::AF_NETLINK.cast_unsigned());
            rule(
                &mut refused,
                libc::SYS_socket,
                &[
                    (0, Length::Dword, Compare::Eq, netlink),
                    (2, Length::Dword, Compare::Ne, u64::from(libc::NETLINK_ROUTE.cast_unsigned())),
                ],
            )?;
        }
    }
    if sockets == Sockets::Tcp {
        tcp_only(&mut refused)?;
    }
    let unknown: Rules = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    let mut filters = vec![program(refused, libc::EPERM)?, program(unknown, libc::ENOSYS)?];
    if cfg!(target_arch = "x86_64") {
        filters.push(without_x32());
    }
    Ok(filters)
}

/// Refuses sockets of every type but streams, and of every protocol of theirs but TCP.
fn tcp_only(refused: &mut Rules) -> Result<(), seccompiler::Error> {
    // The type's low bits; above them are flags.
    const TYPES: u64 = 0xf;
    let stream = u64::from(libc::SOCK_STREAM.cast_unsigned());
    for other in (0..=TYPES).filter(|kind| *kind != stream) {
        let of_type = (1, Length::Dword, Compare::MaskedEq(TYPES), other);
        rule(refused, libc::SYS_socket, &[of_type])?;
    }
    let tcp = u64::from(libc::IPPROTO_TCP.cast_unsigned());
    let others = [(2, Length::Dword, Compare::Ne, 0), (2, Length::Dword, Compare::Ne, tcp)];
    rule(refused, libc::SYS_socket, &others)?;
    // A message that connects.
    let connecting = u64::from(libc::MSG_FASTOPEN.cast_unsigned());
    for (call, flags) in [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)] {
        let connects = (flags, Length::Dword, Compare::MaskedEq(connecting), connecting);
        rule(refused, call, &[connects])?;
    }
    Ok(())
}

fn rule(
    rules: &mut Rules,
    call: i64,
    conditions: &[(u8, Length, Compare, u64)],
) -> Result<(), seccompiler::Error> {
    let conditions: Result<Vec<_>, _> = conditions
        .iter()
        .map(|(argument, length, compare, value)| {
            SeccompCondition::new(*argument, length.clone(), compare.clone(), *value)
        })
        .collect();
    rules.entry(call).or_default().push(SeccompRule::new(conditions?)?);
    Ok(())
}

fn program(rules: Rules, errno: i32) -> Result<BpfProgram, seccompiler::Error> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)?;
    Ok(filter.try_into()?)
}

/// Refuses the calls of the x32 interface, whose numbers the other filters do not know.
fn without_x32() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let allow = u32::from(SeccompAction::Allow);
    let refuse = u32::from(SeccompAction::Errno(libc::ENOSYS.cast_unsigned()));
    vec![
        // The call's number is the first word of what a filter sees.
        sock_filter { code: LOAD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: AT_LEAST, jt: 0, jf: 1, k: X32 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: refuse },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: allow },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_can_be_made() {
        for sockets in [Sockets::All, Sockets::Internet, Sockets::Tcp, Sockets::None] {
            let filters = filters(sockets).unwrap();
            assert!(filters.len() >= 2);
        }
    }
}
