// What the kernel command line asks for, as values. Used by boot_main() alone.
#pragma once

#include <string_view>

#include "kernel/log.hpp"
#include "kernel/panic.hpp"
#include "net/config.hpp"

namespace ringlet::boot {

struct Settings {
    kernel::LogLevel log_level = kernel::LogLevel::info;
    kernel::PanicAction panic_action = kernel::PanicAction::halt;
    std::string_view root;
    net::Addressing addressing = net::Addressing::dhcp;
    net::Ipv4Config address;
    std::string_view arguments;            ///< after `--`
};

/// Reads every word of `command_line`, which lives for ever. A word that is not understood, or a value that makes no
/// sense, is named in the log; the default stays.
Settings read_settings(std::string_view command_line);

}  // namespace ringlet::boot
