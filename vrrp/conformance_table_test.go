package vrrp

// conformanceCheck is one requirement of the list and what proves it here.
type conformanceCheck struct {
	id      string
	what    string
	verdict string
	why     string   // of any verdict but pass
	tests   []string // function, or function/start of the row's name; "package:" in front for another one
}

// Verdicts.
const (
	passes  = "pass"
	differs = "differs on purpose"
	cannot  = "cannot be tested here"
)

func pass(id, what string, tests ...string) conformanceCheck {
	return conformanceCheck{id: id, what: what, verdict: passes, tests: tests}
}

func differ(id, what, why string, tests ...string) conformanceCheck {
	return conformanceCheck{id, what, differs, why, tests}
}

func untested(id, what, why string, tests ...string) conformanceCheck {
	return conformanceCheck{id, what, cannot, why, tests}
}

// conformanceGroups are the letters of the list.
var conformanceGroups = []struct{ letter, title string }{
	{"F", "What is sent"}, {"C", "Checksum"}, {"R", "What is refused or accepted"}, {"U", "Authentication of version 2"}, {"T", "Timers"},
	{"S", "States and election"}, {"A", "ARP, ND, acceptance, forwarding"}, {"G", "Announcements"}, {"M", "Virtual MAC"}, {"V", "IPv6"},
	{"I", "Interface and machine events"}, {"X", "Interoperation"},
}

// conformance is the whole list: wire format, receipt, authentication.
func conformance() []conformanceCheck {
	list := []conformanceCheck{
		pass("F01", "IP protocol or next header 112", "TestOnTheLink"),
		pass("F02", "to 224.0.0.18 and 01:00:5e:00:00:12", "TestOnTheLink"),
		pass("F03", "TTL or hop limit 255", "TestOnTheLink", "TestF03_F14_TheIPHeader"),
		pass("F04", "an advertisement is not forwarded to another link", "TestF04_AdvertisementsAreNotForwarded"),
		pass("F05", "the source is the primary address, also beside lower virtual and secondary ones", "TestOnTheLink", "TestMonitorPrimaryAddress"),
		pass("F06", "version, type, VRID, priority in their places", "TestOnTheLink", "TestF06_F10_F11_WhatIsSentIsReadAsItWasMeant"),
		pass("F07", "255 from the owner alone, 0 at the end alone", "TestF07_PrioritiesOnTheWire"),
		pass("F08", "tracked weights keep the priority in 1..254", "TestEffectivePriority", "TestF07_PrioritiesOnTheWire"),
		pass("F09", "reserved bits of version 3 are zero", "TestF09_TheReservedBitsAreZero", "TestOnTheLink"),
		pass("F10", "count and list of addresses, without excluded ones; 1, 2, 20, 255 of them", "TestF10_F13_CountAndLengthOfManyAddresses", "TestOnTheLink"),
		pass("F11", "interval in seconds or hundredths, authentication type 0 without one", "TestOnTheLink", "TestF13_F15_AMessageOctetByOctet"),
		pass("F12", "a fractional interval in version 2 is rounded with a warning, never 0", "config:TestGolden"),
		pass("F13", "exact lengths, also in the IP header", "TestF10_F13_CountAndLengthOfManyAddresses", "TestOnTheLink"),
		differ("F14", "traffic class 0xc0, no options, not fragmented",
			"over IPv6 an advertisement longer than the MTU (more than 90 addresses at 1500) leaves in fragments, which every receiver puts together; without them there would be no election",
			"TestOnTheLink", "TestF03_F14_TheIPHeader"),
		pass("F15", "no stale octets in 10,000 advertisements", "TestF15_NoStaleOctets"),

		pass("C01", "version 2: the sum covers the message with its authentication data", "TestOnTheLink", "TestF13_F15_AMessageOctetByOctet"),
		pass("C02", "version 2: a bad sum is refused", "TestC02_C10_V05_ABadSumIsRefused"),
		differ("C03", "version 3 over IPv4: the sum covers the message alone",
			"as in keepalived and FRR the default is RFC 5798's sum with a pseudo header; v3_checksum_as_v2 sends that of RFC 9568",
			"TestC03_C04_C05_BothSumsOfVersion3AreAccepted", "TestOnTheLink"),
		pass("C04", "a sum over the message alone is accepted", "TestC03_C04_C05_BothSumsOfVersion3AreAccepted"),
		pass("C05", "a sum with pseudo header is accepted", "TestC03_C04_C05_BothSumsOfVersion3AreAccepted", "TestX01_X04_Elections"),
		pass("C06", "IPv6: pseudo header with the real destination, 32 bit length, next header 112", "TestC06_ThePseudoHeaderOfIPv6", "TestOnTheLink"),
		pass("C07", "unicast peers that sum the multicast group are understood and answered alike", "TestC07_OldUnicastSum"),
		pass("C08", "a sum of zero holds", "TestC08_AZeroSum"),
		pass("C09", "the kind of sum is an option of the instance", "TestC09_TheKindOfSumIsOfTheInstance"),
		pass("C10", "with v3_checksum_as_v2 a wrong sum is refused all the same", "TestC02_C10_V05_ABadSumIsRefused"),
		pass("C11", "the sum is ours, not the card's", "TestOnTheLink"),

		pass("R01", "TTL 254, 1, 0", "TestReceiveChecks/R01"),
		pass("R02", "one bit of the sum wrong", "TestReceiveChecks/R02"),
		pass("R03", "version 2 to 3 and the reverse", "TestReceiveChecks/R03", "TestX06_R03_AnotherVersionIsToldOnce"),
		pass("R04", "version 0, 1, 4, 7, 15", "TestReceiveChecks/R04"),
		pass("R05", "type 0, 2, 15", "TestReceiveChecks/R05"),
		pass("R06", "a VRID that is not configured on this interface", "TestReceiveChecks/R06", "TestR35_R06_OtherVirtualRoutersAreLeftToTheKernel",
			"TestS21_R06_OneVRIDOnTwoInterfacesAndFamilies"),
		pass("R07", "incomplete addresses", "TestReceiveChecks/R07"),
		pass("R08", "less than the header, and nothing", "TestReceiveChecks/R08"),
		pass("R09", "count 0", "TestReceiveChecks/R09"),
		pass("R10", "count larger than the list", "TestReceiveChecks/R10"),
		pass("R11", "count 255 of one address", "TestReceiveChecks/R11"),
		pass("R12", "another list of addresses is refused and told once, as by keepalived", "TestReceiveChecks/R12", "TestR12_R25_R37_ToldOnce"),
		pass("R13", "more or fewer addresses", "TestReceiveChecks/R13"),
		pass("R14", "octets after the message are refused, Ethernet padding is not", "TestReceiveChecks/R14", "TestR33_R18_R14_PaddedFramesAreAccepted"),
		pass("R15", "unicast where multicast is configured, and the reverse", "TestReceiveChecks/R15"),
		pass("R16", "our own address as the source, and the virtual one", "TestReceiveChecks/R16"),
		pass("R17", "a fragment", "TestReceiveChecks/R17"),
		pass("R18", "IP options are stepped over", "TestReceiveChecks/R18", "TestR33_R18_R14_PaddedFramesAreAccepted"),
		pass("R19", "a source off the link is accepted, as by keepalived and FRR", "TestReceiveChecks/R19"),
		pass("R20", "source 0.0.0.0, ::, broadcast", "TestReceiveChecks/R20"),
		pass("R21", "source multicast", "TestReceiveChecks/R21"),
		pass("R22", "version 3 interval 0", "TestReceiveChecks/R22"),
		pass("R23", "reserved bits are masked", "TestReceiveChecks/R23"),
		pass("R24", "an interval of 40.95 s is believed and waited for", "TestReceiveChecks/R24", "TestR24_T04_TheLongestIntervalIsWaitedFor"),
		pass("R25", "version 2 with another interval is refused and told once", "TestReceiveChecks/R25", "TestR12_R25_R37_ToldOnce"),
		pass("R26", "authentication type 1 without one configured", "TestReceiveChecks/R26"),
		pass("R27", "authentication type 2", "TestReceiveChecks/R27"),
		pass("R28", "authentication type 9", "TestReceiveChecks/R28"),
		pass("R29", "version 2 without authentication data", "TestReceiveChecks/R29"),
		pass("R30", "version 2 interval 0", "TestReceiveChecks/R30"),
		pass("R31", "an owner hears others and goes by RFC 9568; owner_ignore_adverts makes it deaf", "TestS15_TwoOwnersGoByAddress"),
		differ("R32", "another interval in version 3 is learned",
			"it is not logged: RFC 9568 allows it, and the status shows the master", "TestReceiveChecks/R32", "TestT04_TheIntervalOfTheMasterIsLearnedAndForgotten"),
		pass("R33", "padded frames", "TestR33_R18_R14_PaddedFramesAreAccepted"),
		pass("R34", "10,000 malformed a second change nothing, and the log stays small", "TestR34_AFlood", "TestR34_AMasterIsNotDelayed", "TestR34_TheLogIsLimited"),
		pass("R35", "254 other VRIDs at any rate do not wake us", "TestR35_R06_OtherVirtualRoutersAreLeftToTheKernel", "TestR34_AFlood"),
		pass("R36", "any octets: no panic, no growth", "FuzzOpen", "FuzzReceive", "FuzzRoundTrip"),
		pass("R37", "CARP is refused and told once by its name", "TestReceiveChecks/R37", "TestR12_R25_R37_ToldOnce"),

		pass("U01", "PASS: filled up with zeros, cut to eight octets with a warning", "TestU01_U04_Passwords", "TestOnTheLink", "config:TestGolden"),
		pass("U02", "the right password", "TestU02_U03_PasswordsOfEveryLength"),
		pass("U03", "a wrong password", "TestU02_U03_PasswordsOfEveryLength"),
		pass("U04", "no password", "TestU01_U04_Passwords"),
		pass("U05", "half a password, without reading beyond", "TestReceiveChecks/U05"),
		pass("U06", "compared in constant time, never logged", "TestU06_ThePasswordIsNotInWhatIsLogged"),
		pass("U07", "AH as keepalived has it", "TestX01_X04_Elections", "TestU07_U09_AHCoversEveryOctet", "TestU07_ABackupGoesOnFromTheMastersAHNumber"),
		pass("U08", "an old AH sequence number", "TestU08_U11_ASequenceIsAcceptedOnce"),
		pass("U09", "AH to PASS and the reverse", "TestU07_U09_AHCoversEveryOctet"),
		pass("U10", "version 3 with authentication: a warning, nothing sent", "config:TestGolden"),
		pass("U11", "auth_hmac by its vectors, unknown trailers refused, receive-only mode", "TestU11_HMACVectors", "TestU11_HMACRefusals", "TestReceiveChecks/R14"),
	}
	return append(list, conformanceOfStates()...)
}
