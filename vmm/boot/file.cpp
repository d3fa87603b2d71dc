#include "vmm/boot/file.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace ringside::boot {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// A file that shrinks while it is read ends early: that is an error, not a short buffer.
Result<void> read_all(int fd, MutableByteView to) {
  while (!to.empty()) {
    const ssize_t got = ::read(fd, to.data(), to.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(Errc::kSystem, std::strerror(errno));
    if (got == 0) return fail(Errc::kSystem, "it became shorter while it was read");
    to = to.subspan(static_cast<std::size_t>(got));
  }
  return {};
}

}  // namespace

Result<Bytes> read_file(std::string_view what, const std::filesystem::path& path, std::uint64_t limit) {
  // O_NONBLOCK: opening a FIFO must not hang; it has no effect on regular files.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0 && errno == ENOENT) {
    return fail(Errc::kNotFound, fmt::format("{} {}: no such file", what, path.string()));
  }
  if (file.get() < 0) return fail_errno(fmt::format("cannot open {} {}", what, path.string()), errno);

  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return fail_errno(fmt::format("{} {}", what, path.string()), errno);
  if (S_ISDIR(info.st_mode)) {
    return fail(Errc::kMalformed,
                fmt::format("{} {} is a directory: name a file in it", what, path.string()));
  }
  if (!S_ISREG(info.st_mode)) {
    return fail(Errc::kMalformed, fmt::format("{} {} is not a regular file", what, path.string()));
  }
  const auto bytes = static_cast<std::uint64_t>(info.st_size);
  if (bytes == 0) return fail(Errc::kMalformed, fmt::format("{} {} is empty", what, path.string()));
  if (bytes > limit) {
    return fail(Errc::kMalformed, fmt::format("{} {} has {} bytes, more than the {} MiB that are accepted",
                                              what, path.string(), bytes, limit >> 20));
  }
  Bytes content(static_cast<std::size_t>(bytes));
  if (const auto read = read_all(file.get(), content); !read) {
    return fail(Errc::kSystem, fmt::format("cannot read {} {}: {}", what, path.string(), read.error().text));
  }
  return content;
}

}  // namespace ringside::boot
