//! A private mail system in a folder of its own: configuration, queue, mailboxes. Needs no rights; removed at its end.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Group, Pid, Uid, User, chown, geteuid};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Who runs the instance when root calls: it needs no rights, so it gets none.
const UNPRIVILEGED: &str = "nobody";

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// master.cf's services but for the one that listens.
const SERVICES: &str = include_str!("../../conf/master.cf");

/// The folder of a mail system.
pub struct Instance {
    folder: PathBuf,
    /// The programs, from the build.
    built: PathBuf,
    pub user: String,
    uid: Uid,
    gid: Gid,
    /// Where it takes mail.
    pub listens: SocketAddr,
}

/// A running instance; killed when dropped.
pub struct Server {
    child: Child,
}

impl Instance {
    /// Lays an instance out. `built` is the folder with the programs; `main_cf` follows the lines that every instance has.
    pub fn new(built: &Path, main_cf: &str) -> io::Result<Instance> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let who = match geteuid().is_root() {
            true => User::from_name(UNPRIVILEGED)?,
            false => User::from_uid(geteuid())?,
        };
        let who = who.ok_or_else(|| io::Error::other("this user is not in the password file"))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("oxipost-{}-{number}", std::process::id()));
        let listens = free_address(number)?;
        let built = built.to_owned();
        let instance = Instance { folder, built, user: who.name, uid: who.uid, gid: who.gid, listens };
        instance.lay_out()?;
        instance.configure(main_cf)?;
        Ok(instance)
    }

    fn lay_out(&self) -> io::Result<()> {
        let folders = [
            "",
            "etc",
            "queue",
            "queue/pid",
            "queue/public",
            "queue/private",
            "queue/maildrop",
            "queue/queue",
            "queue/corrupt",
            "data",
            "mail",
        ];
        for name in folders {
            let path = self.folder.join(name);
            std::fs::create_dir(&path)?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
            chown(&path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    /// Writes main.cf and master.cf anew.
    pub fn configure(&self, main_cf: &str) -> io::Result<()> {
        let here = self.folder.display();
        let built = self.built.display();
        let group = Group::from_gid(self.gid)?.map_or_else(|| UNPRIVILEGED.to_owned(), |group| group.name);
        let common = format!(
            "compatibility_level = 3.6
queue_directory = {here}/queue
data_directory = {here}/data
command_directory = {built}
daemon_directory = {built}
mail_owner = {user}
setgid_group = {group}
maillog_file = {here}/data/maillog
maillog_file_prefixes = {here}
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mail.example.test
mydestination = example.test, $myhostname
mynetworks = 127.0.0.0/8
alias_maps =
mail_spool_directory = {here}/mail/
",
            user = self.user
        );
        let etc = self.folder.join("etc");
        std::fs::write(etc.join("main.cf"), common + main_cf)?;
        let service = format!("{} inet", self.listens);
        std::fs::write(etc.join("master.cf"), SERVICES.replacen("smtp      inet", &service, 1))
    }

    /// Writes a file into the configuration's folder that only the instance's user may read.
    pub fn write_secret(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.folder.join("etc").join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
        chown(&path, Some(self.uid), Some(self.gid))?;
        Ok(path)
    }

    /// Starts it in the foreground, and waits until it takes mail.
    pub fn start(&self) -> io::Result<Server> {
        let mut command = Command::new(self.built.join("master"));
        command.arg("-c").arg(self.folder.join("etc")).arg("-d").stdin(Stdio::null());
        // A group of its own: a terminal's Ctrl-C is for who started this, who then stops the server in order.
        self.drop_rights(&mut command).process_group(0);
        let starts = || self.log_text().matches("daemon started").count();
        let starts_before = starts();
        let mut server = Server { child: command.spawn()? };
        if self.wait_until(|| starts() > starts_before || server.has_ended()) && !server.has_ended() {
            return Ok(server);
        }
        Err(io::Error::other(format!("the server did not start; its log:\n{}", self.log_text())))
    }

    /// A command of the build, on this instance, as its user.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.built.join(name));
        command.env("MAIL_CONFIG", self.folder.join("etc"));
        self.drop_rights(&mut command);
        command
    }

    fn drop_rights<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        if geteuid().is_root() {
            command.uid(self.uid.as_raw()).gid(self.gid.as_raw());
        }
        command
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the instance's user gets mail: `USER@example.test`.
    pub fn new_mail(&self) -> PathBuf {
        self.folder.join("mail").join(&self.user).join("new")
    }

    pub fn log_file(&self) -> PathBuf {
        self.folder.join("data/maillog")
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Asks again and again until it holds; false if it does not in time.
    pub fn wait_until(&self, mut holds: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // In the temporary folder: what cannot be removed now goes with the next clean-up of that.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An address to listen on, again and again: below the ports that the kernel gives to connections, one of which could have it
/// just when the server is started anew.
fn free_address(number: u32) -> io::Result<SocketAddr> {
    const PORTS: std::ops::Range<u16> = 20_000..30_000;
    let count = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(61).wrapping_add(number * 997);
    let ports = (0..count).map(|step| PORTS.start + (first.wrapping_add(step) % count) as u16);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = ports.into_iter().find(is_free).ok_or_else(|| io::Error::other("no port is free"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

impl Server {
    /// The parent's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.child.id() as i32), signal)?)
    }

    /// Stops it in order.
    pub fn stop(mut self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        self.child.wait().map(drop)
    }

    /// Ends all its processes at once, as a crash of the machine would.
    pub fn kill_all(mut self) -> io::Result<()> {
        kill(Pid::from_raw(-(self.child.id() as i32)), Signal::SIGKILL)?;
        self.child.wait().map(drop)
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = kill(Pid::from_raw(-(self.child.id() as i32)), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}
