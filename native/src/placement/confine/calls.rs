//! seccomp: system calls that no parser needs get EPERM, so that a library sees an error it knows and the document fails.
//!
//! A list of what is refused, since Python and the libraries it loads late use far more than could be listed the other way;
//! a call newer than this table does not exist. What Landlock guards is refused here too where a call's arguments
//! show it, for kernels without Landlock. A 32-bit call ends the process. Called by linux.rs.

use std::io;

use seccompiler::{
    BpfProgram, Error as FilterError, SeccompAction, SeccompCmpArgLen as Width,
    SeccompCmpOp as Compare, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter_all_threads, sock_filter,
};

use crate::error::{Error, Result};

/// In force, or why not.
pub type Filter = std::result::Result<(), String>;

/// Refused whatever the arguments.
const REFUSED: &[i64] = &[
    // network: a socket pair stays, it has no way out
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // other programs and other processes
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_tkill,
    // memory and queues that strangers can find by name
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_semget,
    libc::SYS_msgget,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // file systems, and changes to files that are no writes
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_mknodat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_open_by_handle_at,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_fanotify_init,
    // interfaces of the kernel with a long record of holes
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // the machine, for a process that runs as root
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

/// Numbers above 424 are the same everywhere; libc lacks some of them on one architecture or the other.
const FCHMODAT2: i64 = 452;
/// mseal, Linux 6.10: the last call this table was written for.
const NEWEST_KNOWN: u32 = 462;

/// The older names of the same calls.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_creat,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_mknod,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
];
#[cfg(target_arch = "x86_64")]
const SETRLIMIT: i64 = libc::SYS_setrlimit;
// asm-generic/unistd.h: libc does not name these two there.
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[38 /* renameat */];
#[cfg(not(target_arch = "x86_64"))]
const SETRLIMIT: i64 = 164;

/// Calls whose arguments decide: any of the rules refuses.
fn refused_by_argument() -> Vec<(i64, Vec<Vec<SeccompCondition>>)> {
    let me = u64::from(std::process::id());
    let others = || vec![vec![on(0, Compare::Ne, me)]];
    vec![
        // A thread is welcome, a process is not.
        (
            libc::SYS_clone,
            vec![vec![on(0, mask(libc::CLONE_THREAD), 0)]],
        ),
        (libc::SYS_kill, others()),
        (libc::SYS_tgkill, others()),
        (libc::SYS_rt_sigqueueinfo, others()),
        (libc::SYS_rt_tgsigqueueinfo, others()),
        // Root could raise any limit again; `allow_cpu` moves this one.
        (SETRLIMIT, vec![vec![on(0, Compare::Ne, RLIMIT_CPU)]]),
        (
            libc::SYS_prlimit64,
            vec![
                vec![on(0, Compare::Ne, 0)],
                vec![on(1, Compare::Ne, RLIMIT_CPU), pointer_given(2)],
            ],
        ),
        // Keystrokes for the terminal that the runner was started from.
        (
            libc::SYS_ioctl,
            vec![
                vec![on(1, Compare::Eq, TIOCSTI)],
                vec![on(1, Compare::Eq, TIOCLINUX)],
            ],
        ),
        (libc::SYS_openat, opened_for_writing(2)),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, opened_for_writing(1)),
    ]
}

/// Linux: the same number everywhere, while libc's type of it is not.
const RLIMIT_CPU: u64 = 0;
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

fn opened_for_writing(flags: u8) -> Vec<Vec<SeccompCondition>> {
    let mode = |value: libc::c_int| on(flags, mask(libc::O_ACCMODE), bits(value));
    let bit = |value: libc::c_int| on(flags, mask(value), bits(value));
    vec![
        vec![mode(libc::O_WRONLY)],
        vec![mode(libc::O_RDWR)],
        vec![mode(libc::O_ACCMODE)], // Linux: neither, but ioctl
        vec![bit(libc::O_CREAT)],
        vec![bit(libc::O_TRUNC)],
    ]
}

fn bits(flags: libc::c_int) -> u64 {
    u64::from(flags.cast_unsigned())
}

fn mask(flags: libc::c_int) -> Compare {
    Compare::MaskedEq(bits(flags))
}

/// The kernel reads the lower half of these arguments alone.
fn on(argument: u8, compare: Compare, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, Width::Dword, compare, value).expect("an argument below 6")
}

fn pointer_given(argument: u8) -> SeccompCondition {
    SeccompCondition::new(argument, Width::Qword, Compare::Ne, 0).expect("an argument below 6")
}

fn refusals(arch: TargetArch) -> std::result::Result<BpfProgram, seccompiler::BackendError> {
    let always = REFUSED
        .iter()
        .chain(OLDER)
        .map(|&call| Ok((call, Vec::new())));
    let sometimes = refused_by_argument().into_iter().map(|(call, rules)| {
        let rules: std::result::Result<Vec<_>, _> =
            rules.into_iter().map(SeccompRule::new).collect();
        rules.map(|rules| (call, rules))
    });
    let rules = always
        .chain(sometimes)
        .collect::<std::result::Result<_, _>>()?;
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

/// Calls that do not exist: those with their arguments in memory, where a filter cannot see them (a C library goes on with
/// the older ones), and those this table has not been told of, the x32 ones included (their numbers carry bit 30).
fn unknown_calls() -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const IF_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let line = |code, k, jt| sock_filter { code, jt, jf: 0, k };
    let number = |call: i64| u32::try_from(call).expect("a system call");
    let enosys = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    vec![
        line(LOAD_NUMBER, 0, 0),
        line(IF_EQUAL, number(libc::SYS_clone3), 3),
        line(IF_EQUAL, number(libc::SYS_openat2), 2),
        line(IF_GREATER, NEWEST_KNOWN, 1),
        line(RETURN, libc::SECCOMP_RET_ALLOW, 0),
        line(RETURN, enosys, 0),
    ]
}

/// For every thread of this process. Unsupported where the kernel or a container refuses the first filter.
pub fn filter() -> Result<Filter> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(Err(format!("no table for {}", std::env::consts::ARCH)));
    };
    let refusals = refusals(arch).map_err(Error::confinement("seccomp"))?;
    match apply_filter_all_threads(&unknown_calls()) {
        Err(FilterError::Seccomp(error)) if not_here(&error) => {
            return Ok(Err(format!("no seccomp filter here: {error}")));
        }
        other => other.map_err(Error::confinement("seccomp"))?,
    }
    apply_filter_all_threads(&refusals).map_err(Error::confinement("seccomp"))?;
    Ok(Ok(()))
}

fn not_here(error: &io::Error) -> bool {
    let codes = [libc::ENOSYS, libc::EINVAL, libc::EPERM, libc::EACCES];
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}
