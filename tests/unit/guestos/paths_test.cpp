#include "stub/guestos/paths.hpp"

#include <array>

#include <gtest/gtest.h>

#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::guestos {
namespace {

using test::SmallKernel;

// Dentries, mounts and files, put into the small kernel one by one.
class Paths : public testing::Test {
 protected:
  Gva text(std::string_view words) {
    const Gva at = fresh(words.size() + 1);
    guest_.put(at, words);
    return at;
  }
  Gva dentry(std::string_view name, std::optional<Gva> parent) {
    const Gva at = fresh(128);
    guest_.word(at + 8, at);  // hashed
    guest_.word(at + 24, parent.value_or(at));
    guest_.memory().put(at + 36, static_cast<std::uint32_t>(name.size()));
    guest_.word(at + 40, text(name));
    return at;
  }
  Gva mount(Gva root, std::optional<Gva> above, Gva mountpoint) {
    const Gva at = fresh(96);
    guest_.word(at + 8, above.value_or(at));
    guest_.word(at + 16, mountpoint);
    guest_.word(at + 32, root);
    return at;
  }
  // File descriptor 0 of task 1.
  void open(Gva mount, Gva dentry) {
    const Gva files = fresh(64), table = fresh(64), array = fresh(64), file = fresh(64);
    guest_.word(guest_.task(1) + 128, files);
    guest_.word(files + 16, table);
    guest_.memory().put(table, std::uint32_t{8});
    guest_.word(table + 8, array);
    guest_.word(array, file);
    guest_.word(file + 24, mount + 32);
    guest_.word(file + 32, dentry);
  }
  void in_filesystem(Gva dentry, std::string_view type_name, std::uint64_t inode_number) {
    const Gva inode = fresh(64), super = fresh(64), type = fresh(64);
    guest_.memory().put(inode + 40, inode_number);
    guest_.word(dentry + 48, inode);
    guest_.word(dentry + 56, super);
    guest_.word(super + 8, type);
    guest_.word(type, text(type_name));
  }
  std::string fd(int number, std::size_t room = 256) {
    const auto kernel = guest_.kernel();
    if (!kernel) return kernel.error().text;
    std::string into(room, '?');
    const auto length = (*kernel)->fd_path(guest_.task(1), number, guest_.memory(), into);
    return length ? into.substr(0, *length) : "nothing";
  }
  Gva fresh(std::size_t size) {
    const Gva at = guest_.place(next_);
    next_ += (size + 15) & ~std::size_t{15};
    return at;
  }

  SmallKernel guest_;
  std::uint64_t next_ = 0x2000;
};

TEST_F(Paths, LeadThroughMountsToTheRoot) {
  const Gva root = dentry("/", {}), mnt = dentry("mnt", root), disk = dentry("/", {});
  const Gva etc = dentry("etc", disk), passwd = dentry("passwd", etc);
  const Gva base = mount(root, {}, root);
  open(mount(disk, base, mnt), passwd);
  EXPECT_EQ(fd(0), "/mnt/etc/passwd");
  EXPECT_EQ(fd(1), "nothing");
  EXPECT_EQ(fd(8), "nothing");
  EXPECT_EQ(fd(-1), "nothing");
}

TEST_F(Paths, OfTheRootIsASlash) {
  const Gva root = dentry("/", {});
  open(mount(root, {}, root), root);
  EXPECT_EQ(fd(0), "/");
}

TEST_F(Paths, OfADeletedFileSaySo) {
  const Gva root = dentry("/", {}), gone = dentry("gone", root);
  guest_.word(gone + 8, Gva{0});
  open(mount(root, {}, root), gone);
  EXPECT_EQ(fd(0), "/gone (deleted)");
}

TEST_F(Paths, OfSocketsAndPipesAreTheirNumbers) {
  const Gva root = dentry("/", {}), socket = dentry("TCP", {}), pipe = dentry("", {}),
            event = dentry("[eventfd]", {});
  in_filesystem(socket, "sockfs", 4711);
  in_filesystem(pipe, "pipefs", 7);
  in_filesystem(event, "anon_inodefs", 1);
  const Gva pseudo = mount(root, {}, root);
  open(pseudo, socket);
  EXPECT_EQ(fd(0), "socket:[4711]");
  open(pseudo, pipe);
  EXPECT_EQ(fd(0), "pipe:[7]");
  open(pseudo, event);
  EXPECT_EQ(fd(0), "anon_inode:[eventfd]");
}

TEST_F(Paths, ThatDoNotFitAreNotCutShort) {
  const Gva root = dentry("/", {}), file = dentry("a-long-name", root);
  open(mount(root, {}, root), file);
  EXPECT_EQ(fd(0, 5), "nothing");
}

TEST_F(Paths, ThatGoRoundInCirclesEnd) {
  const Gva root = dentry("/", {}), one = dentry("one", root), two = dentry("two", one);
  guest_.word(one + 24, two);
  open(mount(root, {}, root), two);
  EXPECT_EQ(fd(0, 4096), fd(0, 4096));  // it comes back at all
}

TEST_F(Paths, OfAWorkingDirectoryGoTheSameWay) {
  const Gva root = dentry("/", {}), home = dentry("home", root), fs = fresh(64);
  const Gva base = mount(root, {}, root);
  guest_.word(guest_.task(1) + 136, fs);
  guest_.word(fs + 24, base + 32);
  guest_.word(fs + 32, home);
  const auto kernel = guest_.kernel();
  ASSERT_TRUE(kernel);
  std::array<char, 64> into;
  const auto length = (*kernel)->working_directory(guest_.task(1), guest_.memory(), into);
  ASSERT_TRUE(length);
  EXPECT_EQ(std::string_view(into.data(), *length), "/home");
}

}  // namespace
}  // namespace ringside::guestos
