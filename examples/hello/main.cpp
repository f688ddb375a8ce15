// The smallest appliance.
#include <ringlet/console.hpp>

int main(int argc, char** argv) {
    ringlet::print("Hello from {}, with {} arguments\n", argv[0], argc - 1);
}
