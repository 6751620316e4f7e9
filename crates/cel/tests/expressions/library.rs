//! Every function: what is usual, what is at the edge, what is a fault.

use crate::table::{compile_error, fault, holds};

#[test]
fn conversions() {
    holds(&[
        "int('42') == 42 && int(3.9) == 3 && int(-3.9) == -3 && int(7u) == 7",
        "int(timestamp('1970-01-01T00:01:00Z')) == 60",
        "uint(3) == 3u && uint('7') == 7u && uint(2.9) == 2u",
        "double(3) == 3.0 && double('1e3') == 1000.0 && double(2u) == 2.0",
        "string(1) == '1' && string(true) == 'true' && string(1u) == '1' && string(b'a') == 'a'",
        "string(1.5) == '1.5' && string(1.0) == '1' && string(1000000.0) == '1e+06'",
        "string(0.00001) == '1e-05' && string(123456.0) == '123456'",
        "string(duration('90s')) == '90s' && string(duration('1500ms')) == '1.5s'",
        "string(timestamp('2024-01-02T03:04:05Z')) == '2024-01-02T03:04:05Z'",
        "bytes('ä') == b'ä' && bool('true') && !bool('f')",
        "dyn(1) == 1 && size([1, 2]) == 2 && [1].size() == 1 && {'a': 1}.size() == 1",
        "'ä€'.size() == 2 && size(object.labels) == 1",
    ]);
    fault(&[
        ("int('x') == 1", "`x` is no int"),
        ("int(1e300) == 1", "overflow"),
        ("int(18446744073709551615u) == 1", "overflow"),
        ("uint(-1) == 1u", "overflow"),
        ("double('x') == 1.0", "`x` is no double"),
        ("bool('yes')", "`yes` is no bool"),
        ("string(b'\\xff') == ''", "no UTF-8"),
        ("int(object.labels) == 1", "no such overload"),
        ("size(object.whole) == 1", "no such overload"),
    ]);
    compile_error(&[("int([])", "no overload of `int`"), ("size(1)", "no overload")]);
}

#[test]
fn strings() {
    holds(&[
        "'abc'.contains('b') && 'abc'.contains('') && !'abc'.contains('d')",
        "'abc'.startsWith('ab') && 'abc'.endsWith('bc')",
        "'aäb'.charAt(1) == 'ä' && 'abc'.charAt(3) == ''",
        "'hello'.indexOf('l') == 2 && 'hello'.indexOf('x') == -1 && 'hello'.indexOf('l', 3) == 3",
        "'äöü'.indexOf('ü') == 2 && 'abc'.indexOf('') == 0",
        "'hello'.lastIndexOf('l') == 3 && 'hello'.lastIndexOf('l', 2) == 2 && 'a'.lastIndexOf('b') == -1",
        "['a', 'b'].join() == 'ab' && ['a', 'b'].join(', ') == 'a, b' && [].join('x') == ''",
        "'AbÄ'.lowerAscii() == 'abÄ' && 'abä'.upperAscii() == 'ABä'",
        "'hello'.replace('l', 'L') == 'heLLo' && 'hello'.replace('l', '', 1) == 'helo'",
        "'hello'.replace('l', 'L', -1) == 'heLLo' && 'hello'.replace('l', 'L', 0) == 'hello'",
        "'ab'.replace('', '-') == '-a-b-'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "'a,b'.split(',', 0) == [] && 'a,b'.split(',', -1) == ['a', 'b'] && 'ab'.split('') == ['a', 'b']",
        "'abc'.split('', 2) == ['a', 'bc'] && ''.split(',') == ['']",
        "'abcd'.substring(1) == 'bcd' && 'abcd'.substring(1, 3) == 'bc' && 'a'.substring(1) == ''",
        "' \\ta\\n'.trim() == 'a' && 'aä'.reverse() == 'äa'",
        "strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'",
    ]);
    fault(&[
        ("'abc'.charAt(4) == ''", "index out of range: 4"),
        ("'abc'.charAt(-1) == ''", "index out of range: -1"),
        ("'abc'.indexOf('a', 9) == 0", "index out of range"),
        ("'abc'.substring(9) == ''", "index out of range"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range"),
        ("object.whole.startsWith('a')", "no such overload"),
        ("object.list.join(',') == ''", "no such overload"),
    ]);
}

#[test]
fn format() {
    holds(&[
        "'%s is %d%%'.format(['a', 5]) == 'a is 5%'",
        "'%s %s %s'.format([true, null, [1, 'a']]) == 'true null [1, a]' && '%s'.format([dyn(1)]) == '1'",
        "'%s'.format([{'a': 1}]) == '{a: 1}' && '%s'.format([duration('90s')]) == '90s'",
        "'%.2f %f %.1e'.format([1.005, 2, 1234.5]) == '1.00 2.000000 1.2e+03'",
        "'%x %X %o %b'.format([255, 255, 8, 5]) == 'ff FF 10 101'",
        "'%x %b'.format(['ab', true]) == '6162 1' && '%d'.format([-3]) == '-3'",
        "'%s'.format([type(1)]) == 'int' && '%s'.format([double('Infinity')]) == 'Infinity'",
    ]);
    fault(&[
        ("'%d'.format(['a']) == ''", "`%d` cannot take"),
        ("'%s %s'.format([1]) == ''", "too few values"),
        ("'%q'.format([1]) == ''", "unrecognized formatting clause"),
        ("'%.999f'.format([1.0]) == ''", "no precision"),
        ("'%'.format([1]) == ''", "ends within a verb"),
    ]);
}

#[test]
fn lists_and_sets() {
    holds(&[
        "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [].isSorted()",
        "[1, 2].sum() == 3 && [1.5, 1.5].sum() == 3.0 && [duration('1s'), duration('2s')].sum() == duration('3s')",
        "[].sum() == 0 && [3, 1, 2].min() == 1 && [3, 1, 2].max() == 3 && ['b', 'a'].min() == 'a'",
        "[1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(2) == -1",
        "[1, 2, 1].distinct() == [1, 2] && object.list.distinct() == [1, 2]",
        "[[1], [2, 3]].flatten() == [1, 2, 3] && [[[1], [2]]].flatten(2) == [1, 2] && [[1]].flatten(0) == [[1]]",
        "[3, 1, 2].sort() == [1, 2, 3] && ['b', 'a'].sort() == ['a', 'b'] && [1, 2].reverse() == [2, 1]",
        "[1, 2, 3].slice(1, 3) == [2, 3] && [1].slice(1, 1) == []",
        "[1, 2].first().value() == 1 && [1, 2].last().value() == 2 && !object.empty.first().hasValue()",
        "lists.range(3) == [0, 1, 2] && lists.range(0) == [] && lists.range(-1) == []",
        "sets.contains([1, 2, 3], [1, 3]) && !sets.contains([1], [2]) && sets.contains([], [])",
        "sets.equivalent([1, 2, 2], [2, 1]) && !sets.equivalent([1], [1, 2])",
        "sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2])",
        "sets.contains([dyn(1), dyn(2.0)], dyn([1u]))",
    ]);
    fault(&[
        ("object.empty.min() == 1", "min called on empty list"),
        ("object.mixed.sum() == 1", "no such overload"),
        ("[1, 2].slice(1, 5) == []", "cannot slice(1, 5), list is length 2"),
        ("[1, 2].slice(2, 1) == []", "cannot slice"),
        ("[1].flatten(-1) == []", "non-negative"),
        ("[dyn(1), dyn('a')].sort() == []", "same type"),
        ("object.mixed.sort() == []", "no order"),
    ]);
}

#[test]
fn math() {
    holds(&[
        "math.greatest(1, 3, 2) == 3 && math.least([4, 2]) == 2 && math.greatest(-1) == -1",
        "math.greatest(1, 2.5) == 2.5 && math.least(1u, 2) == 1u",
        "math.ceil(1.2) == 2.0 && math.floor(-1.2) == -2.0 && math.round(2.5) == 3.0 && math.trunc(-1.7) == -1.0",
        "math.abs(-3) == 3 && math.abs(-1.5) == 1.5 && math.sign(-4) == -1 && math.sign(0.0) == 0.0",
        "math.isNaN(double('NaN')) && math.isInf(1.0 / 0.0) && math.isFinite(1.0)",
        "math.bitAnd(6, 3) == 2 && math.bitOr(6u, 1u) == 7u && math.bitXor(6, 3) == 5 && math.bitNot(0) == -1",
        "math.bitShiftLeft(1, 4) == 16 && math.bitShiftRight(-1, 63) == 1 && math.bitShiftLeft(1, 64) == 0",
        "math.sqrt(9) == 3.0",
    ]);
    fault(&[
        ("math.abs(-9223372036854775808) == 0", "overflow"),
        ("math.bitShiftLeft(1, -1) == 0", "negative offset"),
        ("math.greatest(object.list + object.empty, 1) == 1", "no such overload"),
        ("math.least(object.empty) == 1", "empty list"),
    ]);
}

#[test]
fn regular_expressions() {
    holds(&[
        "'abc123'.matches('[0-9]+$') && !'abc'.matches('^b') && matches('abc', 'b')",
        "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('x') == ''",
        "'1a2b'.findAll('[0-9]') == ['1', '2'] && '1a2b'.findAll('[0-9]', 1) == ['1']",
        "'abc'.findAll('x') == [] && '12'.findAll('[0-9]', 0) == [] && '12'.findAll('[0-9]', -1).size() == 2",
        "regex.replace('a1b2', '[0-9]', '-') == 'a-b-' && regex.replace('ab', '(a)(b)', '\\\\2\\\\1') == 'ba'",
        "regex.replace('aaa', 'a', 'b', 2) == 'bba'",
        "regex.extract('k=v', 'k=(.*)').value() == 'v' && !regex.extract('x', 'y').hasValue()",
        "regex.extractAll('a1b2', '[a-z]([0-9])') == ['1', '2']",
        "object.text.matches('some' + ' text')",
    ]);
    fault(&[
        ("object.text.matches(object.name + '(')", "no regular expression"),
        ("object.text.matches(object.name + '(?=a)')", "no regular expression"),
        ("regex.replace('a', 'a', '\\\\1') == ''", "no group 1"),
        ("regex.extract('ab', '(a)(b)').hasValue()", "at most one group"),
    ]);
}

#[test]
fn moments_and_durations() {
    holds(&[
        "duration('1h30m') == duration('90m') && duration('1.5s') == duration('1500ms')",
        "duration('-1s') < duration('0') && duration('1s') + duration('1s') == duration('2s')",
        "duration('1h1m1s').getHours() == 1 && duration('90m').getMinutes() == 90",
        "duration('1m').getSeconds() == 60 && duration('1s').getMilliseconds() == 1000",
        "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
        "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
        "timestamp('2024-01-01T02:00:00+02:00') == timestamp('2024-01-01T00:00:00Z')",
        "timestamp('2024-02-03T04:05:06.007Z').getFullYear() == 2024",
        "timestamp('2024-02-03T04:05:06.007Z').getMonth() == 1",
        "timestamp('2024-02-03T04:05:06.007Z').getDate() == 3",
        "timestamp('2024-02-03T04:05:06.007Z').getDayOfMonth() == 2",
        "timestamp('2024-02-03T04:05:06.007Z').getDayOfWeek() == 6",
        "timestamp('2024-02-03T04:05:06.007Z').getDayOfYear() == 33",
        "timestamp('2024-02-03T04:05:06.007Z').getHours() == 4",
        "timestamp('2024-02-03T04:05:06.007Z').getMinutes() == 5",
        "timestamp('2024-02-03T04:05:06.007Z').getSeconds() == 6",
        "timestamp('2024-02-03T04:05:06.007Z').getMilliseconds() == 7",
        "timestamp('2024-02-03T23:30:00Z').getHours('+02:00') == 1",
        "timestamp('2024-02-03T23:30:00Z').getHours('-08:30') == 15",
        "timestamp('2024-07-01T00:00:00Z').getHours('Europe/Zurich') == 2",
        "timestamp(0) == timestamp('1970-01-01T00:00:00Z')",
    ]);
    fault(&[
        ("duration('1' + object.name) > duration('1s')", "no duration"),
        ("timestamp(object.name) > timestamp(0)", "no timestamp"),
        ("timestamp('2024-01-01 00:00:00Z' + '') > timestamp(0)", "no timestamp"),
        ("timestamp('9999-12-30T12:00:00Z') + duration('24h') > timestamp(0)", "overflow"),
        ("timestamp(0).getHours('Nowhere/Land') == 1", "unknown time zone"),
    ]);
}

#[test]
fn addresses() {
    holds(&[
        "url('https://user@example.com:80/path?a=1&a=2&b').getHost() == 'example.com:80'",
        "url('https://example.com:80/').getHostname() == 'example.com' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://example.com:80/').getPort() == '80' && url('https://example.com').getPort() == ''",
        "url('HTTPS://example.com').getScheme() == 'https' && url('/a').getScheme() == ''",
        "url('https://example.com/a b').getEscapedPath() == '/a%20b'",
        "url('https://example.com/?k=v%20w&k=x').getQuery()['k'] == ['v w', 'x']",
        "isURL('https://example.com') && isURL('/path') && !isURL('../relative') && !isURL('')",
        "!isURL('https://a:b:c/') && !isURL('https://exa mple.com/') && !isURL('https://x/%zz')",
        "ip('10.0.0.1').family() == 4 && ip('::1').family() == 6 && ip('::1').isLoopback()",
        "isIP('10.0.0.1') && !isIP('10.0.0') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
        "ip.isCanonical('2001:db8::1') && !ip.isCanonical('2001:DB8::1')",
        "ip('0.0.0.0').isUnspecified() && ip('169.254.1.1').isLinkLocalUnicast() && ip('224.0.0.1').isLinkLocalMulticast()",
        "ip('10.0.0.1').isGlobalUnicast() && !ip('127.0.0.1').isGlobalUnicast() && string(ip('10.0.0.1')) == '10.0.0.1'",
        "ip('10.0.0.1') == ip('10.0.0.1') && ip('10.0.0.1') != ip('10.0.0.2')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
        "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.1.2.3/8').ip() == ip('10.1.2.3')",
        "cidr('::1/128').prefixLength() == 128 && string(cidr('10.0.0.0/8')) == '10.0.0.0/8' && cidr('0.0.0.0/0').containsIP('1.2.3.4')",
        "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/08')",
    ]);
    fault(&[
        ("url(object.text).getHost() == ''", "no URL"),
        ("ip(object.name).family() == 4", "no IP address"),
        ("cidr(object.name).prefixLength() == 4", "no CIDR block"),
        ("cidr('10.0.0.0/8').containsIP(object.name)", "no IP address"),
        ("ip.isCanonical('x')", "no IP address"),
    ]);
}

#[test]
fn quantities_and_versions() {
    holds(&[
        "quantity('1Gi').compareTo(quantity('1024Mi')) == 0 && quantity('500m').isLessThan(quantity('1'))",
        "quantity('2').isGreaterThan(quantity('1')) && quantity('1k').asInteger() == 1000",
        "quantity('1.5').isInteger() == false && sign(quantity('-1')) == -1 && sign(quantity('0')) == 0",
        "quantity('1').add(quantity('500m')) == quantity('1500m') && quantity('3').sub(1) == quantity('2')",
        "quantity('1500m').asApproximateFloat() == 1.5 && isQuantity('1Gi') && !isQuantity('1Gib')",
        "string(quantity('1024Mi')) == '1Gi'",
        "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
        "semver('1.0.0-rc.1').isLessThan(semver('1.0.0')) && semver('2.0.0').isGreaterThan(semver('1.9.9'))",
        "semver('1.2.3').compareTo(semver('1.2.3+build')) == 0 && isSemver('1.2.3') && !isSemver('v1.2.3')",
        "isSemver('v1.02', true) && semver('v1.02', true).minor() == 2 && semver('1', true) == semver('1.0.0')",
    ]);
    fault(&[
        ("sign(quantity(object.name)) == 1", "no quantity"),
        ("quantity('1.5').asInteger() == 1", "cannot convert"),
        ("semver(object.name).major() == 1", "no semantic version"),
    ]);
}

#[test]
fn formats_and_encoders() {
    holds(&[
        "!format.dns1123Label().validate('my-name').hasValue() && format.dns1123Label().validate('My').hasValue()",
        "format.named('dns1123Subdomain').value().validate('-a').hasValue() && !format.named('nope').hasValue()",
        "!format.dns1035Label().validate('a1').hasValue() && format.dns1035Label().validate('1a').hasValue()",
        "!format.qualifiedName().validate('a.b/c_D').hasValue() && format.qualifiedName().validate('/c').hasValue()",
        "!format.labelValue().validate('').hasValue() && format.labelValue().validate('-').hasValue()",
        "!format.dns1123LabelPrefix().validate('a-').hasValue() && format.dns1123LabelPrefix().validate('-').hasValue() == false",
        "!format.dns1123SubdomainPrefix().validate('a.b-').hasValue() && !format.dns1035LabelPrefix().validate('a-').hasValue()",
        "!format.uri().validate('https://a').hasValue() && format.uri().validate('a').hasValue()",
        "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue() && format.uuid().validate('1').hasValue()",
        "!format.byte().validate('YQ==').hasValue() && format.byte().validate('!').hasValue()",
        "!format.date().validate('2024-01-31').hasValue() && format.date().validate('2024-02-31').hasValue()",
        "!format.datetime().validate('2024-01-31T00:00:00Z').hasValue() && format.datetime().validate('x').hasValue()",
        "format.dns1123Label().validate('A').value().size() == 1",
        "base64.encode(b'hello') == 'aGVsbG8=' && base64.decode('aGVsbG8=') == b'hello' && base64.decode('aGVsbG8') == b'hello'",
        "jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'",
    ]);
    fault(&[("base64.decode('!') == b''", "not base64")]);
}

#[test]
fn images() {
    holds(&[
        "image('nginx').registry() == 'index.docker.io' && image('nginx').repository() == 'library/nginx'",
        "image('nginx').tag() == 'latest' && image('nginx').identifier() == 'latest'",
        "image('ghcr.io/a/b:1.2').registry() == 'ghcr.io' && image('ghcr.io/a/b:1.2').repository() == 'a/b'",
        "image('localhost:5000/bb').registry() == 'localhost:5000' && image('localhost:5000/bb').tag() == 'latest'",
        "image('a/b@sha256:' + '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef').containsDigest()",
        "image('a:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef').tag() == '1'",
        "image('a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef').tag() == ''",
        "image('nginx:1').digest() == '' && !image('nginx').containsDigest()",
        "isImage('nginx:1.2') && !isImage('NGINX') && !isImage('ghcr.io/b') && !isImage('a:b:c') && !isImage('') && !isImage('a@sha256:1')",
        "parseImageReference('a') == image('docker.io/a:latest') && string(image('a')) == 'index.docker.io/library/a:latest'",
    ]);
    fault(&[("image('UPPER' + object.name).tag() == ''", "no image reference")]);
}

#[test]
fn an_authorizers_check_is_no_answer() {
    fault(&[
        (
            "authorizer.group('apps').resource('deployments').namespace('a').check('create').allowed()",
            "needs the API server",
        ),
        ("authorizer.path('/healthz').check('get').allowed()", "needs the API server"),
        (
            "authorizer.serviceAccount('a', 'b').group('').resource('pods').check('get').reason() == ''",
            "needs",
        ),
    ]);
}
