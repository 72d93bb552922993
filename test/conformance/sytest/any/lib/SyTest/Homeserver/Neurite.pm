# One Neurite process per homeserver of a SyTest run: one HTTPS port for clients, servers and keys.
use strict;
use warnings;

package SyTest::Homeserver::Neurite;
use base qw( SyTest::Homeserver );

use Carp;
use Cwd ();
use File::Path qw( remove_tree );
use JSON ();
use SyTest::SSL qw( ensure_ssl_key create_ssl_cert );

sub _init
{
   my $self = shift;
   my ( $args ) = @_;

   $self->{command} = delete $args->{command};
   defined $self->{command} or croak "Need --neurite-command (or NEURITE_COMMAND)";

   $self->SUPER::_init( $args );
   $self->{port} = main::alloc_port( "neurite[$self->{hs_index}]" );
}

sub server_name { my $self = shift; return "$self->{bind_host}:$self->{port}"; }
sub federation_host { my $self = shift; return $self->{bind_host}; }
sub federation_port { my $self = shift; return $self->{port}; }
sub secure_port { my $self = shift; return $self->{port}; }
sub public_baseurl { my $self = shift; return "https://$self->{bind_host}:$self->{port}"; }

sub start
{
   my $self = shift;
   my $hs_dir = $self->{hs_dir};

   # SyTest's user names are fixed: every run starts with an empty data folder.
   remove_tree( "$hs_dir/data" );

   my ( $cert, $key ) = ( "$hs_dir/tls.crt", "$hs_dir/tls.key" );
   ensure_ssl_key( $key );
   create_ssl_cert( $cert, $key, $self->{bind_host} );

   # The suite's web servers and its identity server show certificates of its own.
   my $keys = Cwd::getcwd . '/keys';
   local $ENV{NODE_EXTRA_CA_CERTS} = "$hs_dir/trusted.pem";
   open my $trusted, '>', "$hs_dir/trusted.pem" or die "cannot write trusted.pem: $!";
   foreach my $file ( "$keys/ca.crt", "$keys/tls-selfsigned.crt" ) {
      open my $in, '<', $file or next;
      local $/;
      print {$trusted} readline( $in ), "\n";
   }
   close $trusted;

   my $config = $self->write_json_file( "neurite.yaml", $self->_config( $cert, $key ) );
   $self->{output}->diag( "Starting Neurite $self->{hs_index}" );

   return $self->_start_process_and_await_connectable(
      setup => [ env => { %ENV } ],
      # SyTest takes the output for itself unless a shell sends it elsewhere.
      command => [ 'sh', '-c', 'log=$1; shift; exec "$@" >> "$log" 2>&1', 'sh', "$hs_dir/neurite.log",
         split( ' ', $self->{command} ), 'run', '--config', $config ],
      connect_host => $self->{bind_host},
      connect_port => $self->{port},
      name => "neurite-$self->{hs_index}",
   )->else( sub {
      die "Unable to start Neurite: $_[0]\n";
   });
}

sub _config
{
   my $self = shift;
   my ( $cert, $key ) = @_;

   my ( $mail, $captcha, $cas ) = @{$self}{qw( smtp_server_config recaptcha_config cas_config )};

   return {
      server_name => $self->server_name,
      data_dir => "$self->{hs_dir}/data",
      public_base_url => $self->public_baseurl,
      listeners => [ {
         address => $self->{bind_host},
         port => $self->{port} + 0,
         tls => { cert => $cert, key => $key },
         resources => [ 'client', 'federation', 'admin' ],
      } ],
      registration => { mode => 'open', guests => JSON::true, shared_secret => 'reg_secret' },
      rate_limits => { enabled => JSON::false },
      rooms => { default_version => '10', public_list_without_token => JSON::true },
      passwords => { memory => '64 KiB', passes => 1 },
      sync => { initial_timeline => 'graph' },
      # The suite's own web server and push gateway are on this machine, and its tests of media come without a token.
      previews => { enabled => JSON::true, allow_networks => [ '127.0.0.0/8', '::1' ] },
      push => { allow_networks => [ '127.0.0.0/8', '::1' ], text_mentions => JSON::true },
      appservices => $self->{app_service_config_files} // [],
      media => { freeze_unauthenticated => JSON::false },
      federation => { allow_networks => [ '127.0.0.0/8', '::1' ], ca_file => Cwd::getcwd . '/keys/ca.crt' },
      # The suite's mail, identity and sign-on servers are on this machine too.
      identity => { allow_networks => [ '127.0.0.0/8', '::1' ] },
      $mail ? ( mail => {
         host => $mail->{host}, port => $mail->{port} + 0, tls => 'never', from => 'neurite@localhost',
      } ) : (),
      $captcha ? ( recaptcha => {
         public_key => $captcha->{public_key},
         private_key => $captcha->{private_key},
         verify_url => $captcha->{siteverify_api},
      } ) : (),
      $cas ? ( cas => { server_url => $cas->{server_url} } ) : (),
      log => { level => 'debug' },
   };
}

1;
