// The functions behind shell/commands.cpp's table, one file per subject, and what they share.
#pragma once

#include <ringlet/network.hpp>

#include "shell/shell.hpp"

namespace ringlet::shell {

// files.cpp
Outcome ls(Shell&, const Arguments&);
Outcome cat(Shell&, const Arguments&);
Outcome cd(Shell&, const Arguments&);
Outcome pwd(Shell&, const Arguments&);
Outcome stat(Shell&, const Arguments&);
// change.cpp
Outcome cp(Shell&, const Arguments&);
Outcome mv(Shell&, const Arguments&);
Outcome ln(Shell&, const Arguments&);
Outcome rm(Shell&, const Arguments&);
Outcome mkdir(Shell&, const Arguments&);
Outcome rmdir(Shell&, const Arguments&);
Outcome touch(Shell&, const Arguments&);
Outcome write(Shell&, const Arguments&);
// volumes.cpp
Outcome mount(Shell&, const Arguments&);
Outcome umount(Shell&, const Arguments&);
Outcome df(Shell&, const Arguments&);
Outcome du(Shell&, const Arguments&);
Outcome sync(Shell&, const Arguments&);
Outcome fstrim(Shell&, const Arguments&);
Outcome hexdump(Shell&, const Arguments&);
// system.cpp
Outcome help(Shell&, const Arguments&);
Outcome free(Shell&, const Arguments&);
Outcome ps(Shell&, const Arguments&);
Outcome uptime(Shell&, const Arguments&);
Outcome date(Shell&, const Arguments&);
Outcome dmesg(Shell&, const Arguments&);
Outcome poweroff_machine(Shell&, const Arguments&);
Outcome reboot_machine(Shell&, const Arguments&);
Outcome panic_machine(Shell&, const Arguments&);
Outcome echo(Shell&, const Arguments&);
Outcome clear(Shell&, const Arguments&);
Outcome version(Shell&, const Arguments&);
// network.cpp
Outcome ip(Shell&, const Arguments&);
Outcome ping(Shell&, const Arguments&);
Outcome route(Shell&, const Arguments&);
Outcome netstat(Shell&, const Arguments&);
// names.cpp
Outcome host(Shell&, const Arguments&);
/// Names to addresses; nullptr in an image without the resolver.
using NameLookup = Result<net::IpAddr> (*)(std::string_view name);
extern constinit NameLookup name_lookup;
// time.cpp
Outcome ntp(Shell&, const Arguments&);
// link.cpp
Outcome link(Shell&, const Arguments&);

/// "2026-11-22 17:05:09" into `to` (UTC).
std::string_view date_text(i64 unix_seconds, std::span<char, 32> to);

}  // namespace ringlet::shell
