#include "boot/settings.hpp"

#include <optional>

#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

using kernel::log;
using kernel::LogLevel;

std::optional<LogLevel> parse_level(std::string_view v) {
    if (v == "debug") return LogLevel::debug;
    if (v == "info") return LogLevel::info;
    if (v == "warning") return LogLevel::warning;
    if (v == "error") return LogLevel::error;
    return std::nullopt;
}

std::optional<kernel::PanicAction> parse_panic(std::string_view v) {
    if (v == "halt") return kernel::PanicAction::halt;
    if (v == "reboot") return kernel::PanicAction::reboot;
    if (v == "exit") return kernel::PanicAction::end_vm;
    return std::nullopt;
}

/// ADDRESS/PREFIX[,GATEWAY]
std::optional<net::Ipv4Config> parse_address(std::string_view v) {
    const usize comma = v.find(','), slash = v.find('/');
    if (slash == v.npos || slash > comma) return std::nullopt;
    const auto address = net::Ipv4Addr::parse(v.substr(0, slash));
    const auto prefix = parse_number<u8>(v.substr(slash + 1, comma == v.npos ? v.npos : comma - slash - 1));
    if (!address || !prefix || *prefix > 32) return std::nullopt;
    net::Ipv4Config config{.address = *address, .prefix = *prefix, .gateway = {}};
    if (comma == v.npos) return config;
    const auto gateway = net::Ipv4Addr::parse(v.substr(comma + 1));
    if (!gateway) return std::nullopt;
    config.gateway = *gateway;
    return config;
}

bool parse_ip(std::string_view v, Settings& s) {
    if (v == "none" || v == "dhcp") {
        s.addressing = v == "dhcp" ? net::Addressing::dhcp : net::Addressing::none;
        return true;
    }
    const bool fallback = v.starts_with("dhcp,");
    const auto address = parse_address(fallback ? v.substr(5) : v);
    if (!address) return false;
    s.address = *address;
    s.addressing = fallback ? net::Addressing::dhcp_then_fixed : net::Addressing::fixed;
    return true;
}

template <class T> bool take(std::optional<T> parsed, T& to) {
    if (parsed) to = *parsed;
    return parsed.has_value();
}

/// False: the value makes no sense. Nothing: the name is unknown.
std::optional<bool> take_word(std::string_view name, std::string_view value, Settings& s) {
    if (name == "ip") return parse_ip(value, s);
    if (name == "panic") return take(parse_panic(value), s.panic_action);
    if (name == "loglevel") return take(parse_level(value), s.log_level);
    if (name == "root") {
        s.root = value;
        return !value.empty();
    }
    if (name == "virtio_mmio.device") return true;   // boot/discover.cpp reads these
    return std::nullopt;
}

}  // namespace

Settings read_settings(std::string_view command_line) {
    Settings s;
    while (true) {
        const std::string_view word = next_word(command_line);
        if (word.empty()) break;
        if (word == "--") {
            s.arguments = command_line;
            break;
        }
        const usize equals = word.find('=');
        const std::string_view value = equals == word.npos ? std::string_view{} : word.substr(equals + 1);
        const auto taken = take_word(word.substr(0, equals), value, s);
        if (!taken) log(LogLevel::warning, "command line: '{}' is not known", word);
        else if (!*taken) log(LogLevel::warning, "command line: '{}' makes no sense, the default stays", word);
    }
    return s;
}

}  // namespace ringlet::boot
