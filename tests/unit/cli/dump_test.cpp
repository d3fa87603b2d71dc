// A vmcore on disk.
#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>

#include "stub/cli/dump_file.hpp"

namespace ringside::cli {
namespace {

using testing::HasSubstr;

class DumpFile : public testing::Test {
 protected:
  DumpFile() { std::filesystem::create_directory(folder_); }
  ~DumpFile() override { std::filesystem::remove_all(folder_); }

  // 8 MiB of zeros but for one page in the middle and the last one.
  static DumpContents contents() {
    DumpContents contents;
    contents.cpus.resize(1);
    contents.ram = {{.begin = Gpa{0}, .bytes = kBytes}};
    contents.read = [](const guestos::DumpedRam&, const auto& take) -> Result<void> {
      for (std::uint64_t at = 0; at < kBytes; at += kBytes / 4) {
        Bytes piece(kBytes / 4);
        if (at == kBytes / 2) piece[0x3000] = 0x77;
        if (at + piece.size() == kBytes) piece.back() = 0x55;
        RS_TRY(take(piece));
      }
      return {};
    };
    return contents;
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  static constexpr std::uint64_t kBytes = 8u << 20;
  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("ringside-dump-" + std::to_string(::getpid()));
  const std::string path_ = folder_ / "vmcore";
};

TEST_F(DumpFile, IsCompleteWithHolesWhereThereIsNothing) {
  const auto size = write_dump(contents(), path_);

  ASSERT_TRUE(size) << size.error().text;
  EXPECT_EQ(size->memory, kBytes);
  EXPECT_EQ(size->written, 2 * kPageSize);
  struct stat found {};
  ASSERT_EQ(::stat(path_.c_str(), &found), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(found.st_size) % kPageSize, 0u);
  EXPECT_LT(found.st_blocks * 512, 1 << 20);
  EXPECT_EQ(found.st_mode & 0777u, 0600u);
  std::ifstream file(path_, std::ios::binary);
  const std::uint64_t begin = static_cast<std::uint64_t>(found.st_size) - kBytes;
  file.seekg(static_cast<std::streamoff>(begin + kBytes / 2 + 0x3000));
  EXPECT_EQ(file.get(), 0x77);
  file.seekg(-1, std::ios::end);
  EXPECT_EQ(file.get(), 0x55);
  EXPECT_EQ(files(), 1u);
}

TEST_F(DumpFile, LeavesWhatWasThereWhenTheGuestIsLostInTheMiddle) {
  std::ofstream(path_) << "before";
  DumpContents lost = contents();
  lost.read = [](const guestos::DumpedRam&, const auto&) -> Result<void> {
    return fail(Errc::kGone, "the connection is lost");
  };
  EXPECT_EQ(write_dump(std::move(lost), path_).error().text, "the connection is lost");
  std::string text;
  std::ifstream(path_) >> text;
  EXPECT_EQ(text, "before");
  EXPECT_EQ(files(), 1u);
  EXPECT_THAT(write_dump(contents(), folder_ / "no" / "where").error().text, HasSubstr("No such file"));
}

}  // namespace
}  // namespace ringside::cli
