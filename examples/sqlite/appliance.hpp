// The shell of SQLite has the console and a disk; no shell of ours, no network.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "sqlite", .shell = false, .net = false, .main_stack_bytes = 512 * 1024};
