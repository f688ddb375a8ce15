// The tables of commands; the network ones apart, so that an image without a network has none of it. Adding one: a
// function in commands/<subject>.cpp, a line in commands.hpp, a row here.
#include "shell/commands/commands.hpp"

namespace ringlet::shell {

namespace {
constexpr Command kCommands[] = {
    {"cat", "cat FILE...", "print files", cat},
    {"cd", "cd [DIRECTORY]", "change the directory", cd},
    {"clear", "clear", "clear the screen", clear},
    {"cp", "cp [-r] FROM... TO", "copy files; -r: directories too", cp},
    {"date", "date", "the wall clock, in UTC", date},
    {"df", "df [-i]", "space on the mounted filesystems; -i: files", df},
    {"dmesg", "dmesg", "the kernel log", dmesg},
    {"du", "du [PATH]", "space that directories take", du},
    {"echo", "echo [WORD...]", "print words", echo},
    {"free", "free", "memory in use", free},
    {"fstrim", "fstrim PATH", "tell the disk of a filesystem what is unused", fstrim},
    {"help", "help [COMMAND]", "this list", help},
    {"hexdump", "hexdump FILE", "the bytes of a file", hexdump},
    {"ln", "ln [-s] TARGET... NAME", "another name; -s: a symbolic link", ln},
    {"ls", "ls [-al] [PATH...]", "list directories", ls},
    {"mkdir", "mkdir [-p] PATH...", "make directories; -p: those above too", mkdir},
    {"mount", "mount [[-o [remount,]ro|rw] [DEVICE] PATH]",
     "mount a disk, a partition or `memfs`; what is mounted where", mount},
    {"mv", "mv FROM... TO", "rename, or move into a directory", mv},
    {"panic", "panic", "crash on purpose", panic_machine},
    {"poweroff", "poweroff", "end the machine", poweroff_machine},
    {"ps", "ps", "threads", ps},
    {"pwd", "pwd", "the current directory", pwd},
    {"reboot", "reboot", "start again", reboot_machine},
    {"rm", "rm [-rf] PATH...", "remove files; -r: directories too; -f: missing ones are fine", rm},
    {"rmdir", "rmdir PATH...", "remove empty directories", rmdir},
    {"stat", "stat PATH", "everything about one file", stat},
    {"sync", "sync", "write everything to the disks", sync},
    {"touch", "touch PATH...", "make files, or set their times to now", touch},
    {"umount", "umount PATH", "take a filesystem off the tree", umount},
    {"uptime", "uptime", "time since boot, and how much of it was idle", uptime},
    {"version", "version", "what this is and what it runs on", version},
    {"write", "write [-a] FILE [WORD...]", "words into a file; -a: behind what is there", write},
};
constexpr Command kNetworkCommands[] = {
    {"ip", "ip [[NAME] renew|release]", "addresses and neighbours of the network interfaces; their DHCP leases", ip},
    {"link", "link [NAME] [SETTING VALUE...]",
     "the network interfaces: modes, filters, queues ('link help' lists settings)", link},
    {"netstat", "netstat [-s]", "connections; -s: protocol counters", netstat},
    {"ping", "ping [-c COUNT] [-s BYTES] HOST", "ask a host for echoes", ping},
    {"route", "route [add NETWORK/PREFIX ROUTER [METRIC] [NAME]|del NETWORK/PREFIX]", "where packets go", route},
};
}  // namespace

std::span<const Command> commands() {
    return kCommands;
}
std::span<const Command> network_commands() {
    return kNetworkCommands;
}

}  // namespace ringlet::shell
