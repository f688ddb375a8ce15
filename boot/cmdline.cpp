// See cmdline.hpp.
#include "boot/cmdline.hpp"

#include <algorithm>

#include "boot/virtio_mmio.hpp"
#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

constexpr bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// Takes the next word off `rest`; blanks within double quotes do not end it.
std::string_view take_word(std::string_view& rest) {
    usize start = 0;
    while (start < rest.size() && is_blank(rest[start])) ++start;
    usize end = start;
    for (bool quoted = false; end < rest.size() && (quoted || !is_blank(rest[end])); ++end)
        if (rest[end] == '"') quoted = !quoted;
    const std::string_view word = substring(rest, start, end - start);
    rest.remove_prefix(end);
    return word;
}

std::string_view unquote(std::string_view text) {
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return substring(text, 1, text.size() - 2);
    return text;
}

}  // namespace

CommandLine::CommandLine(std::string_view line) {
    line = substring(line, 0, std::min({line.size(), kMaxBytes, line.find('\0')}));
    kernel_ = line;
    std::string_view rest = line;
    for (usize words = 0; words < kMaxWords; ++words) {
        const std::string_view word = take_word(rest);
        if (word.empty()) return;
        if (word != "--") continue;
        kernel_ = substring(line, 0, static_cast<usize>(word.data() - line.data()));
        while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
        application_ = rest;
        return;
    }
    kernel_ = substring(line, 0, line.size() - rest.size());
}

void CommandLine::for_each(FunctionRef<bool(std::string_view, std::optional<std::string_view>)> visit) const {
    std::string_view rest = kernel_;
    for (usize words = 0; words < kMaxWords; ++words) {
        std::string_view word = take_word(rest);
        if (word.empty()) return;
        word = unquote(word);
        const usize equals = word.find('=');
        const bool more = equals == std::string_view::npos
                              ? visit(word, std::nullopt)
                              : visit(substring(word, 0, equals), unquote(substring(word, equals + 1)));
        if (!more) return;
    }
}

std::optional<std::string_view> CommandLine::value(std::string_view key) const {
    std::optional<std::string_view> found;
    for_each([&](std::string_view k, std::optional<std::string_view> v) {
        if (k == key && v) found = v;
        return true;
    });
    return found;
}

bool CommandLine::has(std::string_view key) const {
    bool found = false;
    for_each([&](std::string_view k, std::optional<std::string_view>) {
        found = k == key;
        return !found;
    });
    return found;
}

Result<int> split_arguments(std::string_view name, std::string_view text, std::span<char> storage,
                            std::span<char*> argv) {
    usize used = 0, count = 0;
    bool fits = true;
    const auto put = [&](char c) {
        if (used < storage.size())
            storage[used++] = c;
        else
            fits = false;
    };
    const auto begin = [&] {
        if (count + 1 < argv.size() && used < storage.size())
            argv[count++] = &storage[used];
        else
            fits = false;
    };
    begin();
    for (const char c : name) put(c);
    put('\0');
    bool inside = false;
    char quote = '\0';
    for (usize i = 0; i < text.size() && fits; ++i) {
        char c = text[i];
        if (quote == '\0' && is_blank(c)) {
            if (inside) put('\0');
            inside = false;
            continue;
        }
        if (!inside) begin();
        inside = true;
        if (quote == '\0' && (c == '"' || c == '\'')) {
            quote = c;
        } else if (quote != '\0' && c == quote) {
            quote = '\0';
        } else {
            if (c == '\\' && quote != '\'' && i + 1 < text.size()) c = text[++i];
            put(c);
        }
    }
    if (inside) put('\0');
    if (!fits) return fail(Error::too_large);
    argv[count] = nullptr;
    return static_cast<int>(count);
}

// --- Typed options
// ------------------------------------------------------------------------------------------------

namespace {

std::optional<IpOption> parse_ip(std::string_view text) {
    IpOption ip;
    if (text == "dhcp" || text == "on" || text == "any") return ip;
    if (text == "off" || text == "none") {
        ip.mode = IpOption::Mode::off;
        return ip;
    }
    constexpr std::string_view kWithFallback = "dhcp,";
    if (text.starts_with(kWithFallback))
        text.remove_prefix(kWithFallback.size());
    else
        ip.mode = IpOption::Mode::fixed;
    const usize comma = text.find(',');
    const std::string_view first = substring(text, 0, comma);
    const usize slash = first.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto address = net::Ipv4Addr::parse(substring(first, 0, slash));
    const auto prefix = parse_number<u8>(substring(first, slash + 1));
    if (!address || !prefix || *prefix == 0 || *prefix > 32) return std::nullopt;
    if (address->is_unspecified() || address->is_multicast() || address->is_loopback()) return std::nullopt;
    ip.address = *address;
    ip.prefix = *prefix;
    if (comma == std::string_view::npos) return ip;
    const std::string_view others = substring(text, comma + 1);
    const usize second = others.find(',');
    for (const auto& [part, to] :
         {std::pair{substring(others, 0, second), &ip.gateway},
          std::pair{second == std::string_view::npos ? "" : substring(others, second + 1), &ip.dns}}) {
        if (part.empty()) continue;
        const auto parsed = net::Ipv4Addr::parse(part);
        if (!parsed) return std::nullopt;
        *to = *parsed;
    }
    return ip;
}

std::optional<net::RouteInfo> parse_route(std::string_view text) {
    const usize slash = text.find('/'), comma = text.find(',');
    if (slash == std::string_view::npos || comma == std::string_view::npos || slash > comma) return std::nullopt;
    std::string_view metric;
    std::string_view router = substring(text, comma + 1);
    if (const usize second = router.find(','); second != std::string_view::npos) {
        metric = substring(router, second + 1);
        router = substring(router, 0, second);
    }
    const auto destination = net::Ipv4Addr::parse(substring(text, 0, slash));
    const auto prefix = parse_number<u8>(substring(text, slash + 1, comma - slash - 1));
    const auto by = router == "link" ? net::Ipv4Addr{} : net::Ipv4Addr::parse(router);
    const auto cost = metric.empty() ? u16{0} : parse_number<u16>(metric);
    if (!destination || !prefix || *prefix > 32 || !by || !cost) return std::nullopt;
    return net::RouteInfo{{*destination, *prefix, *by}, *cost};
}

std::optional<Ip6Option> parse_ip6(std::string_view text) {
    Ip6Option ip;
    if (text == "auto") return ip;
    if (text == "off") {
        ip.off = true;
        return ip;
    }
    const auto take = [&text] {
        const usize comma = text.find(',');
        const std::string_view part = substring(text, 0, comma);
        text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
        return part;
    };
    const std::string_view first = take();
    const usize slash = first.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto address = net::IpAddr::parse(substring(first, 0, slash));
    const auto prefix = parse_number<u8>(substring(first, slash + 1));
    if (!address || address->is_ipv4() || address->is_unspecified() || address->is_multicast() ||
        address->is_loopback() || !prefix || *prefix == 0 || *prefix > 128)
        return std::nullopt;
    ip.address = *address;
    ip.prefix = *prefix;
    for (net::IpAddr* to : {&ip.gateway, &ip.dns}) {
        const std::string_view part = take();
        if (part.empty()) continue;
        const auto parsed = net::IpAddr::parse(part);
        if (!parsed || parsed->is_ipv4() || parsed->is_multicast()) return std::nullopt;
        *to = *parsed;
    }
    if (!text.empty()) return std::nullopt;
    return ip;
}

std::optional<kernel::PanicAction> parse_panic(std::string_view text) {
    if (text == "halt") return kernel::PanicAction::halt;
    if (text == "reboot") return kernel::PanicAction::reboot;
    if (text == "exit") return kernel::PanicAction::end_vm;
    return std::nullopt;
}

std::optional<kernel::LogLevel> parse_log_level(std::string_view text) {
    using enum kernel::LogLevel;
    if (text == "debug") return debug;
    if (text == "info") return info;
    if (text == "warning") return warning;
    if (text == "error") return error;
    const auto number = parse_number<u8>(text);
    if (!number || *number > 8) return std::nullopt;
    return *number >= 8 ? debug : *number >= 6 ? info : *number >= 5 ? warning : error;
}

/// Words that others read, or that loaders add for Linux.
bool is_passed_through(std::string_view key) {
    for (const std::string_view prefix : {"hw.", "virtio_mmio.", "dev.", "app.", "env."})
        if (key.starts_with(prefix)) return true;
    for (const std::string_view word : {"BOOT_IMAGE", "quiet", "earlycon", "earlyprintk", "nokaslr"})
        if (key == word) return true;
    return false;
}

/// Has a word before the one that `key` is a view of the same key?
bool named_before(const CommandLine& line, std::string_view key) {
    bool found = false;
    line.for_each([&](std::string_view k, std::optional<std::string_view>) {
        if (k.data() == key.data()) return false;
        found = k == key;
        return !found;
    });
    return found;
}

void bad_value(TextSink complain, std::string_view key, std::string_view value, std::string_view wanted) {
    char text[200];
    complain(format_to(text, "command line: {}={} is not understood: {}", key, substring(value, 0, 60), wanted));
}

/// Takes the next part off a list separated by commas; nothing behind the last.
std::optional<std::string_view> take_part(std::optional<std::string_view>& list) {
    if (!list) return std::nullopt;
    const usize comma = list->find(',');
    const std::string_view part = substring(*list, 0, comma);
    list = comma == std::string_view::npos ? std::nullopt : std::optional(substring(*list, comma + 1));
    return part;
}

template <usize kMost> bool parse_servers(std::string_view text, FixedVector<net::IpAddr, kMost>& to) {
    to.clear();
    std::optional<std::string_view> list = text;
    while (const auto part = take_part(list)) {
        const auto address = net::IpAddr::parse(*part);
        if (!address || address->is_unspecified() || address->is_multicast() || !to.try_push_back(*address))
            return false;
    }
    return true;
}

bool parse_mount(std::string_view text, FixedVector<MountOption, 8>& to) {
    std::optional<std::string_view> list = text;
    const auto device = take_part(list), where = take_part(list), access = take_part(list);
    if (!where || device->empty() || !where->starts_with('/') || list) return false;
    if (access && *access != "ro" && *access != "rw") return false;
    return to.try_push_back({*device, *where, access == "ro"});
}

template <usize kMost> bool parse_hosts(std::string_view text, FixedVector<net::HostEntry, kMost>& to) {
    to.clear();
    std::optional<std::string_view> list = text;
    while (const auto part = take_part(list)) {
        const usize equals = part->find('=');
        if (equals == 0 || equals == std::string_view::npos) return false;
        const auto address = net::IpAddr::parse(substring(*part, equals + 1));
        if (!address || !to.try_push_back({substring(*part, 0, equals), *address})) return false;
    }
    return true;
}

/// The words about names and time. False: it is none of them.
bool read_name_option(std::string_view key, std::string_view value, Options& options, TextSink complain) {
    if (key == "dns" || key == "ntp") {
        auto& to = key == "dns" ? options.dns : options.ntp;
        if (parse_servers(value, to)) return true;
        to.clear();
        bad_value(complain, key, value, "ADDRESS[,ADDRESS...], at most four");
    } else if (key == "hosts") {
        if (parse_hosts(value, options.hosts)) return true;
        options.hosts.clear();
        bad_value(complain, key, value, "NAME=ADDRESS[,NAME=ADDRESS...], at most sixteen");
    } else if (key == "search") {
        options.search = value;
    } else {
        return false;
    }
    return true;
}

/// The words about one interface: `net1.ip=`, or without a name for the first. False: it is none of them.
bool read_interface_option(std::string_view key, std::string_view value, Options& options, TextSink complain) {
    std::string_view word = key;
    usize number = 0;
    if (key.starts_with("net")) {
        const usize dot = key.find('.');
        const auto n = dot == key.npos ? std::nullopt : parse_number<u8>(substring(key, 3, dot - 3));
        if (!n || *n >= net::kMostInterfaces) return false;
        number = *n;
        word = substring(key, dot + 1);
    }
    if (word == "ip") {
        if (const auto ip = parse_ip(value))
            options.ip[number] = ip;
        else
            bad_value(complain, key, value, "dhcp, off, or [dhcp,]ADDRESS/PREFIX[,GATEWAY[,DNS]]");
    } else if (word == "ip6") {
        if (const auto ip6 = parse_ip6(value))
            options.ip6[number] = ip6;
        else
            bad_value(complain, key, value, "auto, off, or ADDRESS/PREFIX[,GATEWAY[,DNS]]");
    } else if (word == "route") {
        auto route = parse_route(value);
        if (route) route->interface = static_cast<u8>(number);
        if (!route || !options.routes.try_push_back(*route))
            bad_value(complain, key, value, "NETWORK/PREFIX,ROUTER[,METRIC], at most sixteen times");
    } else {
        return false;
    }
    return true;
}

}  // namespace

Options read_options(const CommandLine& line, TextSink complain) {
    Options options;
    char unknown[160];
    usize unknown_bytes = 0;
    const auto add_unknown = [&](std::string_view key) {
        if (named_before(line, key)) return;
        for (const std::string_view piece : {std::string_view(" "), substring(key, 0, 40)})
            for (const char c : piece)
                if (unknown_bytes < sizeof(unknown)) unknown[unknown_bytes++] = c;
    };
    line.for_each([&](std::string_view key, std::optional<std::string_view> value) {
        const std::string_view v = value.value_or(std::string_view{});
        if (key == "panic") {
            if (const auto p = parse_panic(v))
                options.panic = p;
            else
                bad_value(complain, key, v, "halt, reboot or exit");
        } else if (key == "loglevel") {
            if (const auto level = parse_log_level(v))
                options.log_level = level;
            else
                bad_value(complain, key, v, "debug, info, warning, error, or 0 to 8");
        } else if (key == "root") {
            options.root = v;
        } else if (key == "ro" || key == "rw") {
            options.root_read_only = key == "ro";
        } else if (key == "mount") {
            if (!parse_mount(v, options.mounts)) bad_value(complain, key, v, "DEVICE,PATH[,ro], at most eight times");
        } else if (key == "probe") {
            options.probe = v != "off";
            if (v != "on" && v != "off") bad_value(complain, key, v, "on or off");
        } else if (key == "console") {
            options.console = v;
        } else if (key == "page_poison") {
            if (v == "0" || v == "1")
                options.page_poison = v == "1";
            else
                bad_value(complain, key, v, "0 or 1");
        } else if (!read_interface_option(key, v, options, complain) && !read_name_option(key, v, options, complain) &&
                   !is_passed_through(key)) {
            add_unknown(key);
        }
        return true;
    });
    if (unknown_bytes != 0) {
        char text[240];
        complain(format_to(text, "command line: unknown:{}", std::string_view(unknown, unknown_bytes)));
    }
    return options;
}

namespace {

/// "512", "0x200", "4K".
std::optional<u64> parse_size(std::string_view text) {
    u64 scale = 1;
    if (text.ends_with('K') || text.ends_with('k')) scale = 1_KiB;
    if (text.ends_with('M')) scale = 1_MiB;
    if (scale != 1) text.remove_suffix(1);
    const bool hex = text.starts_with("0x");
    const auto n = parse_number<u64>(hex ? substring(text, 2) : text, hex ? 16 : 10);
    u64 bytes;
    if (!n || __builtin_mul_overflow(*n, scale, &bytes)) return std::nullopt;
    return bytes;
}

std::optional<arch::VirtioMmio> parse_virtio_mmio(std::string_view text) {
    const usize at = text.find('@'), colon = text.find(':');
    if (at == std::string_view::npos || colon == std::string_view::npos || at > colon) return std::nullopt;
    const auto bytes = parse_size(substring(text, 0, at)), base = parse_size(substring(text, at + 1, colon - at - 1));
    std::string_view irq = substring(text, colon + 1);
    irq = substring(irq, 0, irq.find(':'));
    const auto line = parse_number<u32>(irq);
    if (!bytes || !base || !line) return std::nullopt;
    return arch::VirtioMmio{{PhysAddr(*base), *bytes}, {*line, arch::Trigger::level, arch::Polarity::high}};
}

}  // namespace

void virtio_mmio_from_command_line(const CommandLine& line, arch::Platform& out, TextSink complain) {
    line.for_each([&](std::string_view key, std::optional<std::string_view> value) {
        if (key != "virtio_mmio.device") return true;
        const auto device = parse_virtio_mmio(value.value_or(std::string_view{}));
        const auto added = device ? add_virtio_mmio(out, *device) : fail(Error::invalid);
        if (added) return true;
        if (added.error() == Error::no_space)
            complain("command line: too many virtio_mmio devices");
        else
            bad_value(complain, key, value.value_or(std::string_view{}), "SIZE@ADDRESS:INTERRUPT");
        return true;
    });
}

}  // namespace ringlet::boot
