// Run-time settings of drivers on the kernel command line, under FreeBSD's names: `hw.vtnet.csum_disable=1` for every
// unit of a driver, `hw.vtnet.0.csum_disable=1` for one of them; the one for a unit wins, and of the same word the
// last. A driver defines a struct of settings with its defaults (NetTunables); here it gets a table that maps names to
// members, and its entry in boot/drivers.hpp names the table. docs/tunables.md lists all of them. Context: any; the
// command line outlives the call.
#pragma once

#include <span>
#include <string_view>

#include "boot/cmdline.hpp"
#include "lib/types.hpp"

namespace ringlet::boot {

struct Tunable {
    std::string_view name;  ///< "csum_disable"
    i64 least, most;        ///< what may be asked for
    void (*store)(void* settings, i64 value);
};

/// A row of a table: `tunable<&NetTunables::mq_max_pairs>("mq_max_pairs", 0, 8)`. A switch needs no range.
template <auto kMember> constexpr Tunable tunable(std::string_view name, i64 least = 0, i64 most = 1) {
    return {name, least, most, []<class S, class V>(V S::*) {
                return +[](void* settings, i64 value) { static_cast<S*>(settings)->*kMember = static_cast<V>(value); };
            }(kMember)};
}

struct TunableGroup {
    std::string_view driver;  ///< "vtnet"
    std::span<const Tunable> all;
};
/// The table of one struct of settings.
template <class Settings> struct TunablesOf : TunableGroup {};

/// Stores into `settings` what the command line says for this unit. Bad values change nothing: check_tunables() has
/// complained about them.
void read_tunables(const CommandLine& line, const TunableGroup& group, u32 unit, void* settings);
template <class Settings> Settings read_tunables(const CommandLine& line, const TunablesOf<Settings>& table, u32 unit) {
    Settings settings;
    read_tunables(line, table, unit, &settings);
    return settings;
}

/// Complains, in one sentence each, about every `hw.*` word that names no tunable of `groups` or has a bad value.
void check_tunables(const CommandLine& line, std::span<const TunableGroup* const> groups, TextSink complain);

}  // namespace ringlet::boot
