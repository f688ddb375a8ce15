// Working on images that lie: what fuzz_ext4 does, for a while and with fixed seeds.
#include "crash_disk.hpp"
#include "image.hpp"
#include "tests/fuzz/ext4_attack.hpp"

using namespace ringlet;
using namespace ringlet::fs::test;

TEST_CASE("writing to a damaged image ends in errors, not in faults") {
    const Scratch s;
    make_tree(s.path / "tree", 3, 60);
    stdfs::remove_all(s.path / "tree/sizes");
    const char* env = std::getenv("RINGLET_FUZZ_SEEDS");
    const u32 seeds = env != nullptr ? static_cast<u32>(std::atoi(env)) : 150;
    for (const char* options :
         {"-b 1024 -O ^metadata_csum", "-b 1024 -O ^metadata_csum,inline_data", "-t ext3 -b 1024", "-b 1024"}) {
        make_image(s.path / "image", s.path / "tree", std::string(options) + " -N 512 -J size=1", "6M");
        const auto image = read_image((s.path / "image").string());
        for (u32 seed = 0; seed < seeds; ++seed) {
            INFO(options << ", seed " << seed);
            u8 input[4];
            std::memcpy(input, &seed, sizeof(input));
            fuzz::attack_ext4(image, input, 60);
        }
    }
}
