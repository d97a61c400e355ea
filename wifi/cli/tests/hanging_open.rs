//! An interrupt while the system opens an adapter and does not come back.
//!
//! The adapter is made of files: in a mount namespace of its own the program sees a `/sys/bus/usb` and a `/dev/bus/usb`
//! with one device. Somebody else has a lease on its node (fcntl(2), `F_SETLEASE`), so that opening it hangs until he lets
//! go, or until the system takes the lease away (proc(5), `lease-break-time`, 45 s unless set). The programs come one
//! after the other, so that each has all of that time. Needs Linux with user namespaces, and Python for the lease.
#![cfg(all(target_os = "linux", feature = "libusb"))]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Makes the bus and the lease, starts the program, and tells its process id once it hangs. Then it lets go when told to,
/// or, told to stay, waits for a program that ends all the same: one that does not is ended by the clock.
const SCRIPT: &str = r#"
import fcntl, os, signal, subprocess, sys
sysfs, dev, nodes = '/sys/bus/usb/devices', sys.argv[1], '/dev/bus/usb/003'
def mount(*arguments): subprocess.run(['mount', *arguments], check=True)
def descriptor(*rest): return bytes((len(rest) + 1, *rest))
mount('-t', 'tmpfs', 'bus', '/sys/bus')
mount('-t', 'tmpfs', 'dev', dev)
open(f'{dev}/null', 'w').close()
mount('--bind', '/dev/null', f'{dev}/null')
mount('--rbind', dev, '/dev')
os.makedirs(nodes)
adapter = descriptor(1, 0, 2, 0, 0, 0, 64, 0xda, 0x0b, 0x12, 0x88, 0, 0, 0, 0, 0, 1)
adapter += descriptor(2, 18, 0, 1, 1, 0, 0x80, 250) + descriptor(4, 0, 0, 0, 0xff, 0xff, 0xff, 0)
for name, number, content in ('usb3', 1, adapter), ('3-2', 7, adapter):
    os.makedirs(f'{sysfs}/{name}')
    for attribute, value in ('busnum', 3), ('devnum', number), ('speed', 480), ('bConfigurationValue', 1):
        open(f'{sysfs}/{name}/{attribute}', 'w').write(f'{value}\n')
    open(f'{sysfs}/{name}/descriptors', 'wb').write(content)
    open(f'{nodes}/{number:03}', 'w').close()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
node = os.open(f'{nodes}/007', os.O_RDWR)
fcntl.fcntl(node, fcntl.F_SETLEASE, fcntl.F_WRLCK)
program = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
signal.sigwait([signal.SIGIO])
print(program.pid, flush=True)
if sys.stdin.readline() == 'let go\n':
    fcntl.fcntl(node, fcntl.F_SETLEASE, fcntl.F_UNLCK)
try:
    sys.exit(program.wait(timeout=30))
except subprocess.TimeoutExpired:
    program.kill()
    sys.exit('the program does not end')
"#;

/// A program that hangs.
struct Hanging {
    script: Child,
    program: String,
    told: BufReader<std::process::ChildStderr>,
}

impl Hanging {
    fn start(line: &str) -> Self {
        let mut script = Command::new("unshare")
            .args(["--map-root-user", "--mount", "python3", "-c", SCRIPT])
            .args([folder(), env!("CARGO_BIN_EXE_airlift")])
            .args(line.split_whitespace())
            .env_remove("AIRLIFT_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut program = String::new();
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut program).unwrap();
        let mut told = BufReader::new(script.stderr.take().unwrap());
        if program.is_empty() {
            let mut why = String::new();
            told.read_to_string(&mut why).unwrap();
            panic!("{line}: {why}");
        }
        Self { script, program: program.trim().to_owned(), told }
    }

    fn interrupt(&self) {
        assert!(Command::new("kill").args(["-INT", &self.program]).status().unwrap().success());
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        line
    }

    /// Has the script `let go` or `stay`, and waits for the program's end.
    fn end(mut self, how: &str) -> (ExitStatus, String) {
        writeln!(self.script.stdin.take().unwrap(), "{how}").unwrap();
        let mut rest = String::new();
        self.told.read_to_string(&mut rest).unwrap();
        (self.script.wait().unwrap(), rest)
    }
}

/// Where the bus's nodes are mounted, in a namespace of the test's own.
fn folder() -> &'static str {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/hanging-open");
    fs::create_dir_all(folder).unwrap();
    folder
}

/// What the test asks of a system beside namespaces: Python, and a lease that lasts.
const LEASE: &str = r#"
import fcntl, os, subprocess, sys
subprocess.run(['mount', '-t', 'tmpfs', 'dev', sys.argv[1]], check=True)
node = os.open(f'{sys.argv[1]}/node', os.O_RDWR | os.O_CREAT)
fcntl.fcntl(node, fcntl.F_SETLEASE, fcntl.F_WRLCK)
if int(open('/proc/sys/fs/lease-break-time').read()) in range(1, 30): sys.exit('leases are taken away too soon')
"#;

/// Whether this system lets an ordinary user make a bus, and have a lease.
fn can_be_done() -> bool {
    let tried = |program: &[&str]| {
        let tried = Command::new("unshare").args(["--map-root-user", "--mount"]).args(program).output();
        match tried {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    if !Path::new("/sys/bus").is_dir() {
        eprintln!("SKIPPED: no /sys/bus");
        return false;
    }
    if let Err(why) = tried(&["true"]) {
        eprintln!("SKIPPED: no mount namespace for an ordinary user: {why}");
        return false;
    }
    if let Err(why) = tried(&["python3", "-c", LEASE, folder()]) {
        eprintln!("SKIPPED: no Python, or no lease: {why}");
        return false;
    }
    true
}

const LINES: [(&str, &str); 4] = [
    ("capture --device 3-2", "the system has done with opening the adapter"),
    ("capture --device 3-2 --detach", "the adapter is given back to the system"),
    ("inject --read /dev/null --device 3-2", "the system has done with opening the adapter"),
    ("inject --read /dev/null --device 3-2 --detach", "the adapter is given back to the system"),
];

#[test]
fn an_interrupt_while_an_adapter_is_opened_says_what_is_waited_for_and_a_second_one_does_not_wait() {
    if !can_be_done() {
        return;
    }
    for (line, expected) in LINES {
        for again in [false, true] {
            let mut program = Hanging::start(line);
            program.interrupt();
            let told = program.line();
            assert!(told.contains(expected), "{line}: {told}");
            assert!(told.contains("another interrupt ends the program at once"), "{line}: {told}");
            if again {
                program.interrupt();
            }
            let (status, rest) = program.end(if again { "stay" } else { "let go" });
            assert_eq!(status.code(), Some(130), "{line}: {rest}");
            // One that waits for the system says so in the end.
            let because = rest.contains("interrupted while the adapter was opened");
            assert_eq!(because, !again, "{line}: {rest}");
        }
    }
}
