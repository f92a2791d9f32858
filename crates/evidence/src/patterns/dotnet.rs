//! MSBuild, the C# compiler, NuGet, `dotnet test`.

use super::super::rule::{Body, Classification, Rule};
use greenloop_model::FailureClass::Code;

pub(super) const RULES: &[Rule] = &[
    // The warning that it speaks of stands on the next line.
    Rule {
        kind: "msvc",
        needs: &["error c2220"],
        start: r": error C2220: ",
        of_source: true,
        body: Body::While(r": warning C\d+: ", 0),
        key: r": warning C\d+: ",
        share: 6,
        examples: &["main.cpp(14,9): error C2220: the following warning is treated as an error"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "msbuild",
        needs: &[": error ", ": fatal error "],
        start: r"^\s*(?:\d+>)?[^\s(:][^(]*\(\d+(?:,\d+)*\)\s?: (?:fatal )?error [A-Z]+\d+: ",
        share: 2,
        of_source: true,
        examples: &[
            "/app/Program.cs(12,5): error CS0103: The name 'x' does not exist in the current context [/app/App.csproj]",
            "main.cpp(3): error C2065: 'x': undeclared identifier",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "msbuild",
        needs: &[": error ", ": fatal error "],
        start: r"^\s*(?:\d+>)?(?:MSBUILD|CSC|LINK|\S+\.(?:\w*proj|sln|targets|obj|lib)(?:\(\d+(?:,\d+)?\))?)\s?: (?:fatal )?error [A-Z]+\d+: ",
        score: 80,
        share: 3,
        class: Classification::ToolText(Code),
        examples: &[
            "/app/App.csproj : error NU1101: Unable to find package Nope. No packages exist with this id in source(s): nuget.org",
            "MSBUILD : error MSB1009: Project file does not exist.",
        ],
        ..Rule::COMPILER
    },
    Rule {
        kind: "dotnet-test",
        needs: &["failed "],
        start: r"^\s+Failed (?P<name>[^\s\[]\S*(?:\(.*?\))?) \[[<\d.,\s]+ ?m?s\]",
        // The values stand at the margin.
        body: Body::While(r"^\s+\S|^\w[\w ]*:\s", 1),
        key: r"^\s*(?:Assert|Expected|Actual|But was)|Exception|:line \d+|^\s{3,}\S.*Failure",
        examples: &["  Failed Acme.Tests.CartTests.AddsUp [12 ms]"],
        ..Rule::TEST
    },
    Rule {
        kind: "xunit",
        needs: &["[fail]"],
        start: r"^\[xUnit\.net [\d:.]+\]\s+(?P<name>\S.*?) \[FAIL\]",
        body: Body::While(r"^\[xUnit\.net [\d:.]+\]\s{7,}\S", 0),
        score: 70,
        share: 8,
        examples: &["[xUnit.net 00:00:00.52]     Acme.Tests.CartTests.AddsUp [FAIL]"],
        ..Rule::TEST
    },
    Rule {
        kind: "dotnet",
        needs: &["unhandled exception"],
        start: r"^Unhandled [Ee]xception[.:]",
        body: Body::While(r"^\s+at |^\s+---|^ ---> ", 0),
        key: r"--->|:line \d+",
        score: 76,
        share: 12,
        class: Classification::ProgramText(Code),
        examples: &["Unhandled exception. System.InvalidOperationException: no"],
        ..Rule::COMPILER
    },
    Rule {
        kind: "dotnet-test",
        needs: &["failed!"],
        start: r"^\s*Failed!\s+- Failed:",
        share: 1,
        examples: &["Failed!  - Failed:     1, Passed:     3, Skipped:     0, Total:     4"],
        ..Rule::SUMMARY
    },
];
