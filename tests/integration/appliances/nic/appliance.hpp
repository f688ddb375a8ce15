#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{
    .name = "httpd", .net_driver = ringlet::virtio::NetConfig::full(4)};
