// The tables of commands; the network ones apart, so that an image without a network has none of it. Adding one: a
// function in commands/<subject>.cpp, a line in commands.hpp, a row here.
#include "shell/commands/commands.hpp"

namespace ringlet::shell {

namespace {
constexpr Command kCommands[] = {
    {"cat", "cat FILE...", "print files", cat},
    {"cd", "cd [DIRECTORY]", "change the directory", cd},
    {"clear", "clear", "clear the screen", clear},
    {"date", "date", "the wall clock, in UTC", date},
    {"df", "df", "space on the mounted filesystems", df},
    {"dmesg", "dmesg", "the kernel log", dmesg},
    {"echo", "echo [WORD...]", "print words", echo},
    {"free", "free", "memory in use", free},
    {"help", "help [COMMAND]", "this list", help},
    {"ls", "ls [-al] [PATH...]", "list directories", ls},
    {"mount", "mount", "what is mounted where", mount},
    {"panic", "panic", "crash on purpose", panic_machine},
    {"poweroff", "poweroff", "end the machine", poweroff_machine},
    {"ps", "ps", "threads", ps},
    {"pwd", "pwd", "the current directory", pwd},
    {"reboot", "reboot", "start again", reboot_machine},
    {"stat", "stat PATH", "everything about one file", stat},
    {"uptime", "uptime", "time since boot, and how much of it was idle", uptime},
    {"version", "version", "what this is and what it runs on", version},
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
